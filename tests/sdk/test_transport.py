"""What the client makes of answers that no ShrinkNets service gives."""

from collections.abc import Callable

import httpx
import pytest

from shrinknets import Client, InvalidInputError, InvalidUrlError, NotFoundError, ServiceError

Handler = Callable[[httpx.Request], httpx.Response]


def client_of(handler: Handler) -> Client:
    return Client("http://service", transport=httpx.MockTransport(handler))


def test_an_error_page_of_something_else_is_told_with_its_status() -> None:
    with (
        client_of(lambda _: httpx.Response(502, text="<html>bad gateway</html>")) as client,
        pytest.raises(ServiceError, match="answered 502 Bad Gateway") as caught,
    ):
        client.job("job-1")
    assert caught.value.status == 502


def test_an_answer_of_another_service_is_not_taken_for_a_job() -> None:
    with (
        client_of(lambda _: httpx.Response(200, json={"hello": "world"})) as client,
        pytest.raises(ServiceError, match="did not answer with a Job: is this a ShrinkNets"),
    ):
        client.job("job-1")


def test_a_problem_is_raised_as_the_error_of_its_status() -> None:
    problem = {"type": "about:blank", "title": "t", "status": 404, "detail": "There is no job."}
    with (
        client_of(lambda _: httpx.Response(404, json=problem)) as client,
        pytest.raises(NotFoundError, match=r"There is no job\."),
    ):
        client.job("job-1")


def test_lists_are_read_page_by_page() -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("cursor"))
        return httpx.Response(200, json={"items": [], "next": "b" if len(asked) == 1 else None})

    with client_of(handler) as client:
        assert list(client.jobs()) == []
    assert asked == [None, "b"]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "//host", "http://[::1"])
def test_an_address_without_http_is_told_how_to_write_it(url: str) -> None:
    with pytest.raises(InvalidUrlError, match="write it as http://host:port"):
        Client(url)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"bytes", {1, 2}])
def test_what_json_has_no_word_for_is_refused_before_it_is_sent(value: object) -> None:
    with (
        client_of(lambda _: pytest.fail("sent")) as client,
        pytest.raises(InvalidInputError, match=r"training\.lr: expected what JSON has a word for"),
    ):
        client.submit(dataset="digits", training={"lr": value})


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_URL", "http://elsewhere:9/")
    with Client() as client:
        assert client.url == "http://elsewhere:9"
