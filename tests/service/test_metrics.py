"""What Prometheus is told: the queue as it stands, and what happened since the start."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import event, insert

from service import Settings, create_app
from service.metrics import Metrics
from service.store import Store, claims
from service.store.clock import now
from service.store.tables import artifacts, jobs
from shrinknets.wire import JobState
from tests.service import hands
from tests.service.actors import WorkerActor, ok, record, spec
from tests.service.conftest import TestClient


def scrape(client: httpx.Client) -> dict[str, float]:
    """Each sample by its name with its labels in their order."""
    text = client.get("/metrics").text
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_queue_is_told_by_state_with_its_oldest_age(worker: WorkerActor) -> None:
    assert scrape(worker.client)["shrinknets_oldest_queued_job_age_seconds"] == 0
    for _ in range(3):
        worker.submit()
    worker.claim()
    time.sleep(0.05)
    told = scrape(worker.client)
    assert (told["shrinknets_jobs queued"], told["shrinknets_jobs running"]) == (2, 1)
    assert 0.04 < told["shrinknets_oldest_queued_job_age_seconds"] < 30
    assert told["shrinknets_job_claims_total"] == 1


def test_a_trial_is_told_with_its_epochs_its_duration_and_its_files(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    worker.finish(0, weights=b"12345")
    attempt = worker.begin(1)
    ok(worker.report(attempt, record(1)))
    told = scrape(worker.client)
    assert told["shrinknets_epochs_received_total"] == 3
    assert told["shrinknets_trial_duration_seconds_count shrinknets complete"] == 1
    assert 0 < told["shrinknets_trial_duration_seconds_sum shrinknets complete"] < 60
    assert told["shrinknets_attempts_running"] == 1
    assert (told["shrinknets_artifacts"], told["shrinknets_artifact_bytes"]) == (1, 5)


def test_a_repeated_end_is_counted_once(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    for _ in range(2):
        ok(worker.end(attempt, "failed"))
    assert scrape(worker.client)["shrinknets_trial_duration_seconds_count shrinknets failed"] == 1


def test_leases_that_run_out_are_counted(database_url: str) -> None:
    metrics = Metrics()
    with Store(database_url, on_facts=metrics.take) as store:
        hands.submit(store)
        claim = hands.claim(store)
        hands.start(store, claim, hands.announce(store, claim), seconds=hands.OVER)
        hands.expire(store)
        hands.submit(store)
        hands.claim(store, seconds=hands.OVER)
        hands.expire(store)
    text = metrics.exposed().decode()
    assert 'shrinknets_lease_losses_total{what="attempt"} 1.0' in text
    assert 'shrinknets_lease_losses_total{what="job"} 1.0' in text


def test_what_is_rolled_back_is_not_counted(database_url: str) -> None:
    metrics = Metrics()
    with Store(database_url, on_facts=metrics.take) as store:
        hands.submit(store)
        with pytest.raises(ZeroDivisionError):
            _claim_and_fail(store)
    assert "shrinknets_job_claims_total 0.0" in metrics.exposed().decode()


def _claim_and_fail(store: Store) -> None:
    with store.writing() as tx:
        assert claims.claim_job(tx, worker="w", lease_seconds=9)
        raise ZeroDivisionError


def test_requests_are_counted_by_template_and_class_of_status(client: TestClient) -> None:
    for number in range(3):
        client.get(f"/api/v1/jobs/job-{number}")
    client.get("/jobs/job-1")
    client.post("/api/v1/jobs", json=spec())
    for path in ("/no", "/such/page", "/api/v1/" + "x" * 100):
        client.get(path)
    client.request("PROPFIND", "/healthz")
    told = scrape(client)
    name = "shrinknets_http_request_duration_seconds_count"
    assert told[f"{name} GET /api/v1/jobs/{{job_id}} 4xx"] == 3
    assert told[f"{name} GET /jobs/{{job_id}} 4xx"] == 1
    assert told[f"{name} POST /api/v1/jobs 2xx"] == 1
    assert told[f"{name} GET none 4xx"] == 3
    assert [key for key in told if key.startswith(f"{name} other")]
    assert "xxxx" not in client.get("/metrics").text


def test_names_follow_the_conventions(worker: WorkerActor) -> None:
    worker.submit()
    text = worker.client.get("/metrics").text
    for name, kind in re.findall(r"^# TYPE (shrinknets_\S+) (\S+)", text, re.MULTILINE):
        assert re.fullmatch(r"[a-z_]+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        if kind == "histogram":
            assert name.endswith("_seconds")


def test_open_streams_are_counted_as_long_as_they_are_open(live_url: str) -> None:
    with httpx.Client(base_url=live_url) as client:

        def readers() -> float:
            return scrape(client)["shrinknets_event_stream_readers"]

        with httpx.stream("GET", f"{live_url}/api/v1/events", timeout=10) as response:
            # Its first line is there long before its end: nothing holds the answer back.
            lines = response.iter_lines()
            assert next(lines) == ": ping"
            assert readers() == 1
        deadline = time.monotonic() + 5
        while readers():
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_two_apps_share_nothing(settings: Settings) -> None:
    apps = [create_app(settings) for _ in range(2)]
    with TestClient(apps[0]) as first, TestClient(apps[1]) as second:
        first.get("/healthz")
        name = "shrinknets_http_request_duration_seconds_count GET /healthz 2xx"
        assert scrape(first)[name] == 1
        assert name not in scrape(second)


@contextmanager
def counted_statements(store: Store) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(*args: object) -> None:
        seen.append(str(args[2]))

    event.listen(store._engine, "before_cursor_execute", note)
    yield seen
    event.remove(store._engine, "before_cursor_execute", note)


def test_a_scrape_takes_four_queries_and_little_time_at_ten_thousand_jobs(store: Store) -> None:
    states = list(JobState)
    with store.writing() as tx:
        tx.connection.execute(
            insert(jobs).values(reason="", spec={}, total_trials=1, created_at=now()),
            [{"id": f"job-{n}", "state": states[n % len(states)]} for n in range(10_000)],
        )
        tx.connection.execute(
            insert(artifacts).values(size_bytes=7, created_at=now()),
            [{"sha256": f"{n:064}"} for n in range(10_000)],
        )
    metrics = Metrics()
    metrics.include_store(store)
    metrics.exposed()
    times = []
    with counted_statements(store) as statements:
        for _ in range(7):
            before = time.perf_counter()
            text = metrics.exposed().decode()
            times.append(time.perf_counter() - before)
    assert len([s for s in statements if s.lstrip().startswith("SELECT")]) == 4 * 7
    assert sorted(times)[3] < 0.25
    assert 'shrinknets_jobs{state="queued"} 1667.0' in text
    assert "shrinknets_artifact_bytes 70000.0" in text


def test_without_its_database_the_process_still_tells_of_itself() -> None:
    metrics = Metrics()
    with Store("postgresql://nobody@127.0.0.1:1/none") as store:
        metrics.include_store(store)
        text = metrics.exposed().decode()
    assert "shrinknets_database_up 0.0" in text
    assert "shrinknets_job_claims_total 0.0" in text
