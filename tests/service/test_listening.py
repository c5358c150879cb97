"""PostgreSQL tells the processes of a service of each other's commits."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median

import httpx
import psycopg
import pytest

from service import Settings, housekeeping
from service.errors import NotFoundError
from service.store import News, Store, Writing, jobs
from service.store.news import CHANNEL, heard, payload
from shrinknets.wire import JobSpec
from tests.postgres import PostgresServer
from tests.service import hands
from tests.service.actors import WorkerActor, ok, spec
from tests.service.conftest import served
from tests.service.sse import following

only_postgresql = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)


@pytest.fixture
def two(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Two servers on one database that would look for news themselves once a minute only."""
    monkeypatch.setattr(housekeeping, "POLL_SECONDS", 60.0)
    with ExitStack() as stack:
        yield (
            stack.enter_context(served(settings)),
            stack.enter_context(served(settings)),
        )


def listeners(postgres: PostgresServer) -> list[int]:
    with psycopg.connect(postgres.url("postgres")) as connection:
        query = (
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = 'migrated'"
        )
        return [pid for (pid,) in connection.execute(query)]


@only_postgresql
def test_a_stream_hears_at_once_what_another_process_commits(two: tuple[str, str]) -> None:
    here, there = two
    delays = []
    with following(here) as events, httpx.Client(base_url=there) as client:
        for _ in range(9):
            time.sleep(0.05)
            before = time.monotonic()
            job_id = WorkerActor(client).submit()
            assert next(events)["job_id"] == job_id
            delays.append(time.monotonic() - before)
    assert median(delays) < 0.3


@only_postgresql
def test_a_waiting_worker_hears_of_a_job_that_another_process_takes_in(
    two: tuple[str, str],
) -> None:
    here, there = two
    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=there) as client:
        body = {"worker": "w", "wait_seconds": 20}
        waiting = pool.submit(httpx.post, f"{here}/api/v1/worker/claim", json=body, timeout=30)
        time.sleep(0.5)
        before = time.monotonic()
        job_id = WorkerActor(client).submit()
        assert ok(waiting.result(20))["job"]["id"] == job_id
    assert time.monotonic() - before < 2


@only_postgresql
def test_who_listens_comes_back_and_makes_up_for_what_was_missed(
    two: tuple[str, str],
    postgres: PostgresServer,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    here, there = two
    with following(here) as events, httpx.Client(base_url=there) as client:
        for _ in range(3):
            wait_until(lambda: len(listeners(postgres)) == 2)
            for pid in listeners(postgres):
                postgres.execute(f"SELECT pg_terminate_backend({pid})")
            # Nobody listens now, and nobody will look for a minute.
            job_id = WorkerActor(client).submit()
            assert next(events)["job_id"] == job_id


@only_postgresql
def test_news_are_sent_by_the_commit_and_never_without_one(database_url: str, store: Store) -> None:
    with psycopg.connect(database_url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        with pytest.raises(NotFoundError), store.writing() as tx:
            _submit_and_fail(tx)
        assert list(listener.notifies(timeout=0.3)) == []
        hands.submit(store)
        held = hands.claim(store)
        hands.announce(store, held)
        told = [n.payload for n in listener.notifies(timeout=1, stop_after=3)]
    assert [text.split()[1] for text in told] == ["queue", "events", "events"]
    assert all(len(text) < 20 for text in told)


def _submit_and_fail(tx: Writing) -> None:
    jobs.create_job(tx, JobSpec.model_validate(spec()))
    jobs.get_job(tx, "job-0000000000")


def test_nobody_hears_himself_or_strangers() -> None:
    assert heard(payload("me", News.QUEUE), myself="me") is None
    assert heard(payload("you", News.QUEUE), myself="me") is News.QUEUE
    assert heard("", myself="me") is None
    assert heard("you nonsense", myself="me") is None
