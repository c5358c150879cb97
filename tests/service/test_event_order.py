"""Ids of events become visible in their order, however transactions overlap."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import insert

from service.store import Store, announcing, events
from service.store.clock import now
from service.store.tables import events as table
from service.store.transactions import Writing


def ids(store: Store, after: int = 0) -> list[int]:
    with store.reading() as tx:
        return [event.id for event in events.read_events(tx, after=after)]


class SlowCommit:
    """Holds the first transaction back between the writing of its events and its commit."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.has_written, self.may_commit = threading.Event(), threading.Event()
        announce = announcing.announce

        def announce_slowly(*args: object, **options: object) -> None:
            announce(*args, **options)  # type: ignore[arg-type]
            if not self.has_written.is_set():
                self.has_written.set()
                assert self.may_commit.wait(20)

        monkeypatch.setattr("service.store.transactions.announce", announce_slowly)


def tell(store: Store, job_id: str) -> None:
    with store.writing() as tx:
        tx.tell("job", job_id=job_id)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_who_draws_the_later_id_cannot_commit_first(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = SlowCommit(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tell, store, "job-first")
        assert slow.has_written.wait(20)
        second = pool.submit(tell, store, "job-second")
        with pytest.raises(TimeoutError):
            second.result(0.5)
        # Had the second been faster, a reader would stand behind an event that it never saw.
        assert ids(store) == []
        slow.may_commit.set()
        first.result(20)
        second.result(20)
    with store.reading() as tx:
        told = [(e.id, e.job_id) for e in events.read_events(tx, after=0)]
    assert [job_id for _, job_id in told] == ["job-first", "job-second"]
    assert told == sorted(told)


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_without_the_lock_a_reader_misses_an_event(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the lock is for: the sequence alone lets ids become visible out of order."""

    def announce_without_lock(connection: object, told: object, **_: object) -> None:
        rows = [{"job_id": one.job_id, "kind": one.kind} for one in told]  # type: ignore[attr-defined]
        connection.execute(insert(table).values(at=now()), rows)  # type: ignore[attr-defined]

    monkeypatch.setattr(announcing, "announce", announce_without_lock)
    slow = SlowCommit(monkeypatch)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(tell, store, "job-first")
        assert slow.has_written.wait(20)
        tell(store, "job-second")
        (seen,) = ids(store)
        slow.may_commit.set()
        first.result(20)
    assert ids(store, after=seen) == []
    assert len(ids(store)) == 2


def test_ids_that_were_drawn_for_nothing_stop_no_reader(store: Store) -> None:
    tell(store, "job-a")

    def give_up(tx: Writing) -> None:
        tx.tell("job", job_id="job-b")
        announcing.announce(tx.connection, list(tx._told), news=tx._news, origin="")
        raise KeyError

    with pytest.raises(KeyError), store.writing() as tx:
        give_up(tx)
    tell(store, "job-c")
    with store.reading() as tx:
        assert [e.job_id for e in events.read_events(tx, after=0)] == ["job-a", "job-c"]
