"""What every answer says to browsers, and the names that the service answers to."""

import pytest

from service import Settings, create_app, read_settings
from tests.service.actors import problem
from tests.service.conftest import TestClient

pytestmark = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    "path",
    ["/", "/login", "/docs", "/api/v1/jobs", "/api/v1/jobs/job-0", "/nothing", "/favicon.ico"],
)
def test_every_answer_has_the_headers(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"].split("; ")
    assert {"script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "cache-control" in headers


def test_even_the_answer_to_our_own_bug_has_them(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("service.store.job_lists.list_jobs", fail)
    answer = client.get("/api/v1/jobs")
    problem(answer, 500)
    assert answer.headers["x-content-type-options"] == "nosniff"


def answers_to(settings: Settings, name: str, **changes: object) -> bool:
    own = read_settings(**{**settings.model_dump(), "allowed_hosts": (), **changes})
    # Not started: the answer comes before anything is asked of the database.
    status = TestClient(create_app(own)).get("/healthz", headers={"Host": name}).status_code
    assert status in {200, 421}
    return status == 200


@pytest.mark.parametrize(
    ("host", "changes", "is_ours"),
    [
        ("127.0.0.1:8000", {}, True),
        ("localhost", {}, True),
        ("LOCALHOST:1", {}, True),
        ("[::1]:8000", {}, True),
        ("evil.example", {}, False),
        ("evil.example:8000", {}, False),
        ("localhost.evil.example", {}, False),
        ("192.168.1.5:8000", {}, False),
        ("", {}, False),
        ("192.168.1.5:8000", {"host": "192.168.1.5"}, True),
        ("192.168.1.5:8000", {"host": "0.0.0.0"}, True),
        ("[fe80::1]:8000", {"host": "::"}, True),
        ("evil.example", {"host": "0.0.0.0"}, False),
        ("gpu.example:8000", {"allowed_hosts": "gpu.example"}, True),
        ("anything", {"allowed_hosts": "*"}, True),
    ],
)
def test_the_service_answers_to_its_own_names_alone(
    settings: Settings, host: str, changes: dict[str, object], is_ours: bool
) -> None:
    assert answers_to(settings, host, **changes) is is_ours


def test_a_wrong_name_is_told_with_what_to_do(client: TestClient) -> None:
    refusal = problem(client.get("/", headers={"Host": "evil.example"}), 421)
    assert "SHRINKNETS_ALLOWED_HOSTS" in refusal["detail"]
