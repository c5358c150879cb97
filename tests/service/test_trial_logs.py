"""Logs of trials: taken in, fenced, shortened, followed, and deleted with their job."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, update

from service import Settings, create_app
from service.store import Store, events
from service.store.clock import now
from service.store.tables import attempts, log_chunks
from service.store.trial_logs import LATE_SECONDS
from shrinknets.wire import LEASE_HEADER, MAX_LOG_TEXT
from tests.service.actors import WorkerActor, ok, problem

Attempt = dict[str, Any]


def add(worker: WorkerActor, attempt: Attempt, offset: int, text: str) -> httpx.Response:
    path = f"/attempts/{attempt['id']}/logs"
    return worker.post(path, attempt["token"], {"offset": offset, "text": text})


def read(client: httpx.Client, attempt: Attempt, query: str = "") -> Any:
    return ok(client.get(f"/api/v1/trials/{attempt['trial']['id']}/logs{query}"))


def text_of(client: httpx.Client, attempt: Attempt, query: str = "") -> str:
    return "".join(one["text"] for one in read(client, attempt, query)["attempts"])


@pytest.fixture
def attempt(worker: WorkerActor) -> Attempt:
    worker.submit()
    worker.claim()
    return worker.begin()


def test_lines_come_back_in_order_and_are_told_of(
    client: httpx.Client, worker: WorkerActor, attempt: Attempt
) -> None:
    assert ok(add(worker, attempt, 0, "one\ntwo\n")) == {"next": 8}
    assert ok(add(worker, attempt, 8, "drei ß\n")) == {"next": 16}
    log = read(client, attempt)
    (only,) = log["attempts"]
    assert (only["number"], only["state"], only["attempt_id"]) == (1, "running", attempt["id"])
    assert only["text"] == "one\ntwo\ndrei ß\n"
    assert (log["next"], log["omitted_bytes"]) == (16, 0)
    assert text_of(client, attempt, "?after=8") == "drei ß\n"
    assert text_of(client, attempt, "?after=5") == "wo\ndrei ß\n"
    assert text_of(client, attempt, "?after=16") == ""
    assert text_of(client, attempt, "?after=999") == ""
    text = client.get(f"/api/v1/trials/{attempt['trial']['id']}/logs.txt?tail=1")
    assert (text.text, text.headers["log-next"]) == ("drei ß\n", "16")
    assert text.headers["content-type"].startswith("text/plain")


def test_news_of_a_log_are_an_event(store: Store, worker: WorkerActor, attempt: Attempt) -> None:
    add(worker, attempt, 0, "one\n")
    with store.reading() as tx:
        last = events.read_events(tx, after=0)[-1]
    assert (last.kind, last.trial_id) == ("logs", attempt["trial"]["id"])


def test_lines_that_are_sent_again_are_taken_once(
    client: httpx.Client, worker: WorkerActor, attempt: Attempt
) -> None:
    for _ in range(2):
        assert ok(add(worker, attempt, 0, "one\n")) == {"next": 4}
    assert ok(add(worker, attempt, 2, "e\ntwo\n")) == {"next": 8}
    assert ok(add(worker, attempt, 0, "")) == {"next": 8}
    assert text_of(client, attempt) == "one\ntwo\n"


def test_what_the_worker_left_out_is_said(
    client: httpx.Client, worker: WorkerActor, attempt: Attempt
) -> None:
    ok(add(worker, attempt, 0, "one\n"))
    ok(add(worker, attempt, 5004, "two\n"))
    log = read(client, attempt)
    assert log["attempts"][0]["text"] == "one\n[… 5,000 bytes left out …]\ntwo\n"
    assert (log["omitted_bytes"], log["next"]) == (5000, 5008)
    assert text_of(client, attempt, "?after=4").startswith("[… 5,000 bytes")
    assert text_of(client, attempt, "?tail=1") == "two\n"


@pytest.mark.parametrize("tail", [1, 2, 3, 4, 5, 100])
def test_the_last_lines_are_those_of_all_attempts(
    client: httpx.Client, worker: WorkerActor, attempt: Attempt, tail: int
) -> None:
    ok(add(worker, attempt, 0, "a\nb\n"))
    ok(add(worker, attempt, 4, "c\n"))
    ok(worker.end(attempt, "waiting"))
    second = ok(worker.start(attempt["trial"]["id"]))
    ok(add(worker, second, 0, "d\n"))
    ok(add(worker, second, 2, "e without end"))
    lines = ["a\n", "b\n", "c\n", "d\n", "e without end"]
    assert text_of(client, attempt, f"?tail={tail}") == "".join(lines[-tail:])
    first, other = read(client, attempt)["attempts"]
    assert (first["text"], first["state"]) == ("a\nb\nc\n", "lost")
    assert (other["text"], other["number"]) == ("d\ne without end", 2)


def test_a_log_is_closed_by_the_next_attempt_and_by_time(
    store: Store, worker: WorkerActor, attempt: Attempt
) -> None:
    ok(worker.end(attempt, "waiting"))
    assert ok(add(worker, attempt, 0, "said late\n")) == {"next": 10}
    second = ok(worker.start(attempt["trial"]["id"]))
    problem(add(worker, attempt, 10, "too late\n"), 409)
    ok(worker.end(second, "failed"))
    ok(add(worker, second, 0, "late\n"))
    with store.writing() as tx:
        tx.connection.execute(
            update(attempts)
            .where(attempts.c.id == second["id"])
            .values(ended_at=now(plus_seconds=-LATE_SECONDS - 1))
        )
    problem(add(worker, second, 5, "too late\n"), 409)


def test_only_the_holder_writes(worker: WorkerActor, attempt: Attempt) -> None:
    other = worker.begin(1)
    problem(add(worker, {**attempt, "token": other["token"]}, 0, "x"), 409)
    problem(add(worker, {**attempt, "token": "wrong"}, 0, "x"), 409)
    problem(add(worker, {**attempt, "id": "attempt-0000000000"}, 0, "x"), 404)


def test_secrets_and_what_databases_refuse_are_replaced(
    client: httpx.Client, worker: WorkerActor, attempt: Attempt
) -> None:
    key = "sn_" + "k" * 43
    ok(add(worker, attempt, 0, f"{attempt['token']} {key} \x00\n"))
    headers = {LEASE_HEADER: attempt["token"], "Content-Type": "application/json"}
    path = f"/api/v1/worker/attempts/{attempt['id']}/logs"
    raw = b'{"offset": 200, "text": "\\ud800\\n"}'
    answer = client.post(path, content=raw, headers=headers)
    assert problem(answer, 422)["errors"][0]["field"] == "text"
    text = text_of(client, attempt)
    assert text == "*** sn_*** \ufffd\n"
    assert key not in text
    assert attempt["token"] not in text


@pytest.mark.parametrize(
    "body",
    [
        {"offset": -1, "text": ""},
        {"offset": 2**53, "text": ""},
        {"offset": 0, "text": "x" * (MAX_LOG_TEXT + 1)},
        {"offset": 0},
        {"offset": "a", "text": 7},
        {"offset": 0, "text": "", "more": 1},
    ],
)
def test_wrong_batches_are_refused(worker: WorkerActor, attempt: Attempt, body: Any) -> None:
    path = f"/attempts/{attempt['id']}/logs"
    assert problem(worker.post(path, attempt["token"], body), 422)["errors"]


@pytest.mark.parametrize("query", ["tail=0", "tail=x", "tail=100001", "after=-1", "after=1e3"])
def test_wrong_questions_are_refused(client: httpx.Client, attempt: Attempt, query: str) -> None:
    path = f"/api/v1/trials/{attempt['trial']['id']}"
    for name in ("logs", "logs.txt"):
        (error,) = problem(client.get(f"{path}/{name}?{query}"), 422)["errors"]
        assert error["field"] == query.partition("=")[0]


@pytest.mark.parametrize("part", ["logs", "logs.txt", "artifacts"])
def test_a_trial_that_is_not_there_has_no_log(client: httpx.Client, part: str) -> None:
    problem(client.get(f"/api/v1/trials/trial-0000000000/{part}"), 404)
    problem(client.get(f"/api/v1/trials/x/{part}"), 404)


def test_of_a_long_log_the_beginning_and_the_end_are_kept(settings: Settings) -> None:
    short = settings.model_copy(update={"log_bytes": 4096})
    with TestClient(create_app(short)) as client:
        worker = WorkerActor(client)
        worker.submit()
        worker.claim()
        attempt = worker.begin()
        for number in range(400):
            ok(add(worker, attempt, number * 50, f"line {number:03} ".ljust(49, ".") + "\n"))
        log = read(client, attempt)
        text = log["attempts"][0]["text"]
        assert text.startswith("line 000 ")
        assert f"[… {log['omitted_bytes']:,} bytes left out …]" in text
        assert text.endswith("line 399 ".ljust(49, ".") + "\n")
        assert 3900 < len(text) < 4300
        assert log["next"] == 20_000
        head = text.index("[…")
        assert 1000 <= head <= 1100
        # Who follows from a place that was dropped hears of that too.
        assert "bytes left out" in text_of(client, attempt, "?after=5000")


def test_the_log_goes_with_its_job(
    client: httpx.Client, store: Store, worker: WorkerActor, attempt: Attempt
) -> None:
    ok(add(worker, attempt, 0, "one\n"))
    worker.release("failed", "no more")
    assert client.delete(f"/api/v1/jobs/{worker.job_id}").status_code == 204
    with store.reading() as tx:
        left = select(func.count()).select_from(log_chunks)
        assert tx.connection.execute(left).scalar_one() == 0
    problem(add(worker, attempt, 4, "two\n"), 404)
