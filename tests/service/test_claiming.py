"""Workers that ask for a job at the same moment, and are served together."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from service import upgrade_to_head
from service.claiming import ClaimDesk
from service.errors import UnavailableError
from service.store import Store, claims, leases, workers
from service.store.transactions import Writing
from shrinknets.wire import Claim, ClaimRequest, JobState
from tests.service import hands

WaitUntil = Callable[[Callable[[], bool]], None]


class HeldStore(Store):
    """A store whose next transaction begins when it is let go; it counts them."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.go = threading.Event()
        self.begun = 0

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        self.begun += 1
        assert self.go.wait(60)
        with super().writing() as tx:
            yield tx


def ask_together(
    store: HeldStore,
    wait_until: WaitUntil,
    count: int,
    *,
    desk: ClaimDesk | None = None,
    kinds: Sequence[tuple[str, ...]] = ((),),
) -> list[Future[Claim | None]]:
    """One asks, the others while it is being served; in turn they can build the families named."""
    desk = desk or ClaimDesk(store, lease_seconds=60)
    with ThreadPoolExecutor(count) as pool:

        def ask(number: int) -> Future[Claim | None]:
            asked = hands.asking(f"w{number}", *kinds[number % len(kinds)])
            return pool.submit(desk.claim, asked.model_copy(update={"host": f"h{number}"}))

        asking = [ask(0)]
        wait_until(lambda: store.begun == 1)
        asking += [ask(number) for number in range(1, count)]
        wait_until(lambda: len(desk._waiting) == count - 1)
        store.go.set()
    return asking


def test_those_who_ask_meanwhile_share_one_transaction_and_each_gets_a_job(
    database_url: str, store: Store, wait_until: WaitUntil
) -> None:
    submitted = {hands.submit(store) for _ in range(9)}
    with HeldStore(database_url) as held:
        given = [one.result() for one in ask_together(held, wait_until, 8)]
        assert held.begun == 2
    got = {claim.job.id: claim for claim in given if claim is not None}
    assert len(got) == 8
    assert got.keys() < submitted
    assert len({claim.token for claim in got.values()}) == 8
    for number, claim in enumerate(given):
        assert claim is not None
        assert (claim.job.state, claim.job.worker) == (JobState.RUNNING, f"w{number}")
        with store.writing() as tx:
            leases.renew_job(tx, claim.job.id, claim.token, lease_seconds=60)
    with store.reading() as tx:
        known = workers.list_workers(tx, silent_seconds=60)
    assert {(one.name, one.host) for one in known} == {(f"w{at}", f"h{at}") for at in range(8)}


def test_who_asks_last_goes_without_where_too_few_jobs_are_queued(
    database_url: str, store: Store, wait_until: WaitUntil
) -> None:
    for _ in range(3):
        hands.submit(store)
    with HeldStore(database_url) as held:
        given = [one.result() for one in ask_together(held, wait_until, 8)]
    assert sum(claim is not None for claim in given) == 3
    assert given[0] is not None


def test_of_claims_made_together_the_first_gets_the_job_of_the_highest_priority(
    store: Store,
) -> None:
    ids = [hands.submit(store, priority=priority) for priority in (0, 7, 3, 7)]
    with store.writing() as tx:
        asked = [ClaimRequest(worker=name) for name in "abc"]
        given = [one.job for one in claims.claim_jobs(tx, asked, lease_seconds=60) if one]
    assert [job.id for job in given] == [ids[1], ids[3], ids[2]]
    assert [job.worker for job in given] == ["a", "b", "c"]


def test_each_of_those_who_ask_together_gets_a_job_that_it_can_run(
    database_url: str, store: Store, wait_until: WaitUntil
) -> None:
    families = ["own", "lenet5", "mlp"]
    of_job = {hands.submit(store, family=name): name for name in families * 3}
    kinds: list[tuple[str, ...]] = [(), ("lenet5",), ("mlp", "own", "lenet5"), ("own",)]
    with HeldStore(database_url) as held:
        asking = ask_together(held, wait_until, 16, kinds=kinds)
        given = [one.result() for one in asking]
        assert held.begun == 2
    assert sorted(claim.job.id for claim in given if claim is not None) == sorted(of_job)
    for number, claim in enumerate(given):
        if claim is not None:
            assert of_job[claim.job.id] in {"mlp", *kinds[number % len(kinds)]}
            assert claim.job.worker == f"w{number}"
            with store.writing() as tx:
                leases.renew_job(tx, claim.job.id, claim.token, lease_seconds=60)


def test_a_failure_is_told_to_all_and_the_desk_serves_on(
    empty_database_url: str, wait_until: WaitUntil
) -> None:
    with HeldStore(empty_database_url) as held:
        desk = ClaimDesk(held, lease_seconds=60)
        asking = ask_together(held, wait_until, 4, desk=desk)
        errors = [one.exception() for one in asking]
        assert all(errors)
        assert held.begun == 2
        upgrade_to_head(empty_database_url)
        with Store(empty_database_url) as store:
            job_id = hands.submit(store)
        claim = desk.claim(ClaimRequest(worker="w"))
        assert claim is not None
        assert claim.job.id == job_id


def test_a_database_that_is_away_is_told_as_such(
    database_url: str, dialect: str, wait_until: WaitUntil
) -> None:
    if dialect == "sqlite":
        pytest.skip("an embedded database is never away")
    with HeldStore(database_url.replace("migrated", "nowhere")) as held:
        asking = ask_together(held, wait_until, 3)
        assert all(isinstance(one.exception(), UnavailableError) for one in asking)
