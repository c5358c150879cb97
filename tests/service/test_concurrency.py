"""Many hands at once: nothing is done twice, and nothing is lost."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from service.store import Store, events, jobs, leases
from shrinknets.wire import Attempt, Claim, JobEnd, JobState, Order, Trial, TrialState
from tests.service.hands import (
    LIVE,
    announce,
    claim,
    end,
    find_claim,
    job_state,
    report,
    start,
    submit,
)


def test_many_claims_at_once_give_each_job_to_exactly_one_worker(store: Store) -> None:
    submitted = [submit(store) for _ in range(40)]
    together = threading.Barrier(12)

    def claim_all(worker: int) -> list[str]:
        together.wait()
        mine = []
        while (found := find_claim(store, f"w{worker}")) is not None:
            mine.append(found.job.id)
        return mine

    with ThreadPoolExecutor(12) as pool:
        claimed = [job_id for mine in pool.map(claim_all, range(12)) for job_id in mine]
    assert Counter(claimed) == Counter(submitted)


def test_cancel_and_claim_at_once_leave_one_winner(store: Store) -> None:
    for _ in range(10):
        job_id = submit(store)
        together = threading.Barrier(2)

        def cancel(job_id: str = job_id, together: threading.Barrier = together) -> None:
            together.wait()
            with store.writing() as tx:
                jobs.cancel_job(tx, job_id)

        def take(together: threading.Barrier = together) -> Claim | None:
            together.wait()
            return find_claim(store)

        with ThreadPoolExecutor(2) as pool:
            cancelled, taken = pool.submit(cancel), pool.submit(take)
            cancelled.result()
            held = taken.result()
        if held is None:
            assert job_state(store, job_id) is JobState.CANCELLED
            continue
        with store.writing() as tx:
            order = leases.renew_job(tx, job_id, held.token, lease_seconds=LIVE)
            assert order is Order.STOP
            leases.release_job(tx, job_id, held.token, JobEnd(state=JobState.CANCELLED))


def test_reports_of_many_trials_at_once_all_arrive(store: Store) -> None:
    submit(store)
    held = claim(store)
    running = [start(store, held, announce(store, held, number)) for number in range(8)]

    def run(attempt: Attempt) -> Trial:
        for step in range(1, 11):
            report(store, attempt, step)
        return end(store, attempt)

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(run, running))
    assert [(t.state, t.epochs) for t in ended] == [(TrialState.COMPLETE, 10)] * 8


def test_a_reader_of_events_misses_none_while_many_write(store: Store) -> None:
    has_ended = threading.Event()

    def follow() -> list[int]:
        seen: list[int] = []
        while True:
            is_last = has_ended.is_set()
            with store.reading() as tx:
                news = events.read_events(tx, after=seen[-1] if seen else 0)
            seen += [event.id for event in news]
            if is_last and not news:
                return seen

    with ThreadPoolExecutor(9) as pool:
        follower = pool.submit(follow)
        list(pool.map(lambda _: [submit(store) for _ in range(20)], range(8)))
        has_ended.set()
        seen = follower.result()
    with store.reading() as tx:
        written = [event.id for event in events.read_events(tx, after=0, limit=1000)]
    assert len(written) == 160
    assert seen == written == sorted(written)
