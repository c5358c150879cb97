"""Streams under load: slow readers, many readers, replay beside writers, and how streams end."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from service import Settings, create_app, feed, server, streams
from service.store import Store
from tests.service import hands
from tests.service.actors import WorkerActor, ok, problem
from tests.service.conftest import served
from tests.service.sse import (
    Heard,
    deaf_reader,
    following,
    last_event,
    lines_of,
    note,
    read_whole,
    tell_many,
)


@pytest.fixture
def live(live_url: str) -> Iterator[WorkerActor]:
    with httpx.Client(base_url=live_url, timeout=10) as client:
        yield WorkerActor(client)


@pytest.mark.slow
def test_a_reader_that_does_not_read_is_cut_off_and_holds_nobody_up(
    live_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "STALL_SECONDS", 1.0)
    first = last_event(store)
    with deaf_reader(live_url) as deaf, following(live_url) as others:
        last = tell_many(store, 40_000)
        assert sum(1 for _ in zip(range(40_000), others, strict=False)) == 40_000
        assert httpx.get(f"{live_url}/api/v1/jobs", timeout=5).is_success
        time.sleep(2.5)
        cut = Heard()
        note(cut, lines_of(deaf))
    assert cut.end == "slow"
    assert 0 < len(cut.ids) < 40_000
    rest = read_whole(live_url, after=cut.ids[-1], until=last)
    assert cut.ids + rest.ids == list(range(first + 1, last + 1))


def test_a_reader_that_lags_behind_what_is_kept_reads_the_rest_from_the_database(
    live_url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MAX_KEPT", 700)
    heard: list[int] = []
    with following(live_url) as events:
        last = tell_many(store, 1000)
        heard += [next(events)["id"] for _ in range(10)]
        last = tell_many(store, 30_000)
        heard += [next(events)["id"] for _ in range(last - heard[-1])]
    assert heard == list(range(heard[0], last + 1))


def test_what_is_kept_for_readers_is_bounded(settings: Settings, store: Store) -> None:
    app = create_app(settings)
    kept = app.state.services.feed
    one = feed.Batch(_events(store, 500))
    for _ in range(100):
        kept._keep(one)
    assert kept._num_kept <= feed.MAX_KEPT
    assert len(kept._batches) == feed.MAX_KEPT // 500
    app.state.services.store.close()


def _events(store: Store, count: int) -> list[feed.Event]:
    tell_many(store, count)
    with store.reading() as tx:
        return feed.events.read_events(tx, after=0, limit=count)


@pytest.mark.slow
def test_a_hundred_and_fifty_readers_hear_everything_once_and_in_order(
    live_url: str, store: Store
) -> None:
    quiet = hands.submit(store)
    first = last_event(store)
    count = 2000
    ready = threading.Barrier(151)

    def read(number: int) -> list[int]:
        path = "/events" if number % 3 else f"/jobs/{quiet}/events"
        heard = Heard()
        with (
            httpx.Client(base_url=live_url, timeout=60) as client,
            client.stream("GET", f"/api/v1{path}", params={"after": first}) as response,
        ):
            lines = response.iter_lines()
            assert next(lines) == ": ping"
            ready.wait(60)
            note(heard, lines, until=first + count + 1)
        return heard.ids

    with ThreadPoolExecutor(150) as pool:
        readers = [pool.submit(read, number) for number in range(150)]
        ready.wait(60)
        tell_many(store, count, per_commit=50)
        with store.writing() as tx:
            tx.tell("job", job_id=quiet)
        for number, reader in enumerate(readers):
            whole = list(range(first + 1, first + count + 2))
            assert reader.result() == (whole if number % 3 else whole[-1:])


@pytest.mark.slow
def test_replay_beside_many_writers_has_neither_gaps_nor_doubles(
    live_url: str, store: Store
) -> None:
    first, total = last_event(store), 8 * 60

    def write(writer: int) -> None:
        for number in range(60):
            with store.writing() as tx:
                tx.tell(f"w{writer}", job_id=f"job-{number}")

    def read(_: int) -> list[int]:
        """Comes back again and again, as a reader with a bad connection does."""
        seen = [first]
        while len(seen) <= total:
            with following(live_url, params={"after": seen[-1]}) as events:
                part = min(37, total + 1 - len(seen))
                seen += [next(events)["id"] for _ in range(part)]
        return seen[1:]

    with ThreadPoolExecutor(14) as pool:
        readers = [pool.submit(read, number) for number in range(6)]
        list(pool.map(write, range(8)))
        heard = [reader.result() for reader in readers]
    with store.reading() as tx:
        written = [e.id for e in feed.events.read_events(tx, after=first, limit=1000)]
    assert len(written) == total
    assert heard == [written] * 6


def test_a_reader_of_a_quiet_job_is_not_kept_reading_by_the_others(
    live_url: str, live: WorkerActor, store: Store
) -> None:
    quiet = live.submit()
    tell_many(store, 2000)
    with following(live_url, f"/jobs/{quiet}/events") as events:
        assert next(events)["job_id"] == quiet
        tell_many(store, 2000)
        ok(live.client.patch(f"/api/v1/jobs/{quiet}", json={"priority": 1}))
        assert next(events)["job_id"] == quiet


def test_a_deleted_job_ends_its_streams_and_is_told_to_all(
    live_url: str, live: WorkerActor
) -> None:
    job_id, other = live.submit(), live.submit()
    heard: dict[str, Heard] = {}

    def read(path: str, until: int = 0) -> None:
        heard[path] = read_whole(live_url, path, until=until)

    with ThreadPoolExecutor(2) as pool:
        of_job = pool.submit(read, f"/jobs/{job_id}/events")
        time.sleep(0.2)
        with following(live_url) as events:
            assert live.client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
            while (event := next(events))["kind"] != "deleted":
                pass
            assert event["job_id"] == job_id
        of_job.result(10)
    assert heard[f"/jobs/{job_id}/events"].end == "deleted"
    assert heard[f"/jobs/{job_id}/events"].ids[-1] == event["id"]
    problem(live.client.get(f"/api/v1/jobs/{job_id}/events"), 404)
    with following(live_url, f"/jobs/{other}/events") as events:
        assert next(events)["job_id"] == other


def test_a_stream_says_that_the_service_stops(settings: Settings) -> None:
    with ThreadPoolExecutor(1) as pool, served(settings) as url:
        reading = pool.submit(read_whole, url)
        time.sleep(0.5)
    assert reading.result(5).end == "shutdown"


def test_one_stream_too_many_is_refused_until_another_ends(settings: Settings) -> None:
    few = settings.model_copy(update={"max_streams": 3})
    with served(few) as url, httpx.Client(base_url=url, timeout=10) as client:
        opened = [
            client.send(client.build_request("GET", "/api/v1/events"), stream=True)
            for _ in range(3)
        ]
        lines = [one.iter_lines() for one in opened]
        assert [next(one) for one in lines] == [": ping"] * 3
        refused = client.get("/api/v1/events")
        assert "SHRINKNETS_MAX_STREAMS" in problem(refused, 503)["detail"]
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/api/v1/jobs").is_success
        opened[0].close()
        deadline = time.monotonic() + 5
        while True:
            with client.stream("GET", "/api/v1/events") as again:
                if again.is_success:
                    break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for one in opened:
            one.close()


def test_a_reader_that_knows_events_that_never_were_starts_at_the_newest(
    live_url: str, live: WorkerActor
) -> None:
    """As after the database was restored from a copy."""
    live.submit()
    with following(live_url, params={"after": 10**12}) as events:
        time.sleep(0.3)
        job_id = live.submit()
        assert next(events)["job_id"] == job_id


def test_readers_hold_no_transaction_and_no_thread(
    live_url: str, live: WorkerActor, store: Store
) -> None:
    """A pool of 15 connections and 40 threads serves 120 open streams and still writes."""
    client = httpx.Client(base_url=live_url, timeout=10, limits=httpx.Limits(max_connections=None))
    with client:
        opened = [
            client.send(client.build_request("GET", "/api/v1/events"), stream=True)
            for _ in range(120)
        ]
        before = time.monotonic()
        for _ in range(10):
            live.submit()
        assert time.monotonic() - before < 5
        for one in opened:
            one.close()


@pytest.mark.slow
def test_a_reader_that_never_reads_again_is_given_up(
    store: Store,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[..., None],
) -> None:
    monkeypatch.setattr(streams, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(server, "GONE_SECONDS", 2)
    with served(settings) as url, deaf_reader(url):
        mine = psutil.Process()
        port = httpx.URL(url).port

        def is_open() -> bool:
            # Seen from the server's end.
            return any(
                one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED
                for one in mine.net_connections("tcp")
                if one.raddr
            )

        wait_until(is_open)
        tell_many(store, 40_000)
        wait_until(lambda: not is_open(), 40)
