"""Event streams over a real connection: replay, live delivery, many readers, an end."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service import Settings, streams
from service.store import Store, jobs
from shrinknets.wire import JobSpec
from tests.service.actors import WorkerActor, problem, record, spec
from tests.service.conftest import served
from tests.service.sse import following


@pytest.fixture
def live(live_url: str) -> Iterator[WorkerActor]:
    with httpx.Client(base_url=live_url, timeout=10) as client:
        yield WorkerActor(client)


def kinds(events: Iterator[dict[str, Any]], count: int) -> list[str]:
    return [next(events)["kind"] for _ in range(count)]


def test_a_stream_replays_what_happened_and_goes_on_with_what_happens(
    live_url: str, live: WorkerActor
) -> None:
    live.submit()
    live.claim()
    with following(live_url) as events:
        assert kinds(events, 2) == ["job", "job"]
        attempt = live.begin()
        assert kinds(events, 2) == ["trial", "trial"]
        live.report(attempt, record(1))
        assert kinds(events, 1) == ["records"]


def test_a_live_event_arrives_within_a_moment(live_url: str, live: WorkerActor) -> None:
    with following(live_url) as events:
        delays = []
        for _ in range(5):
            time.sleep(0.05)
            before = time.monotonic()
            live.submit()
            next(events)
            delays.append(time.monotonic() - before)
    assert sorted(delays)[2] < 0.5


@pytest.mark.parametrize("how", ["header", "query", "header-over-query"])
def test_a_reader_that_comes_back_gets_what_it_missed(
    live_url: str, live: WorkerActor, how: str
) -> None:
    ids = [live.submit() for _ in range(4)]
    with following(live_url) as events:
        seen = [next(events) for _ in range(2)]
    last = seen[-1]["id"]
    options: dict[str, Any] = {
        "header": {"headers": {"Last-Event-ID": str(last)}},
        "query": {"params": {"after": last}},
        "header-over-query": {"headers": {"Last-Event-ID": str(last)}, "params": {"after": 0}},
    }[how]
    with following(live_url, **options) as events:
        assert [next(events)["job_id"] for _ in range(2)] == ids[2:]


def test_a_jobs_stream_tells_nothing_of_other_jobs(live_url: str, live: WorkerActor) -> None:
    live.submit()
    mine = live.submit()
    with following(live_url, f"/jobs/{mine}/events") as events:
        assert next(events)["job_id"] == mine
        live.submit()
        live.claim()
        live.claim()
        assert next(events)["job_id"] == mine


def test_the_stream_of_an_unknown_job_is_not_found(live: WorkerActor) -> None:
    problem(live.client.get("/api/v1/jobs/job-0000000000/events"), 404)


@pytest.mark.parametrize("given", ["x", "-1", "9" * 30])
def test_a_wrong_last_event_id_is_named(live: WorkerActor, given: str) -> None:
    response = live.client.get("/api/v1/events", headers={"Last-Event-ID": given})
    (error,) = problem(response, 422)["errors"]
    assert (error["field"], error["given"]) == ("Last-Event-ID", f"'{given}'")


def test_an_event_of_another_process_is_heard_too(live_url: str, database_url: str) -> None:
    with following(live_url) as events, Store(database_url) as elsewhere:
        time.sleep(0.1)
        with elsewhere.writing() as tx:
            job = jobs.create_job(tx, JobSpec.model_validate(spec()))
        assert next(events)["job_id"] == job.id


def test_a_silent_stream_is_kept_alive(live_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEPALIVE_SECONDS", 0.05)
    with httpx.stream("GET", f"{live_url}/api/v1/events", timeout=10) as response:
        lines = (line for line in response.iter_lines() if line)
        assert [next(lines) for _ in range(3)] == [": ping"] * 3


def test_many_idle_readers_take_nothing_from_the_others(live_url: str, live: WorkerActor) -> None:
    is_over = threading.Event()

    def read(_: int) -> int:
        with following(live_url) as events:
            count = sum(1 for _ in zip(range(3), events, strict=False))
            is_over.wait(10)
            return count

    with ThreadPoolExecutor(50) as pool:
        readers = pool.map(read, range(50))
        for _ in range(3):
            assert live.submit()
        is_over.set()
        assert list(readers) == [3] * 50


def test_readers_that_leave_are_no_error(
    live_url: str, live: WorkerActor, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        live.submit()
    for _ in range(5):
        with following(live_url) as events:
            next(events)
    time.sleep(0.2)
    assert [r for r in caplog.records if r.levelname in {"ERROR", "CRITICAL"}] == []


def test_streams_end_when_the_service_stops(settings: Settings) -> None:
    with served(settings) as url, httpx.Client(base_url=url, timeout=10) as client:
        opened = client.send(client.build_request("GET", "/api/v1/events"), stream=True)
        lines = opened.iter_lines()
        assert next(lines) == ": ping"
        before = time.monotonic()
    assert time.monotonic() - before < 3
    opened.close()


@pytest.mark.slow
def test_more_writers_than_threads_do_not_block_each_other(live_url: str) -> None:
    def submit(_: int) -> int:
        with httpx.Client(base_url=live_url, timeout=30) as client:
            return client.post("/api/v1/jobs", json=spec()).status_code

    with ThreadPoolExecutor(80) as pool:
        assert list(pool.map(submit, range(80))) == [201] * 80
