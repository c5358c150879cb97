"""Who holds what, until when, and what becomes of it afterwards."""

import pytest
from sqlalchemy import select

from service.errors import ConflictError, LeaseLostError
from service.store import Slice, Store, attempts, jobs, leases, records, trials
from service.store.clock import now
from shrinknets.wire import JobEnd, JobState, Order, TrialState
from tests.service.hands import (
    LIVE,
    OVER,
    announce,
    claim,
    end,
    expire,
    find_claim,
    job_state,
    report,
    start,
    submit,
    trial_state,
)


def test_a_claim_takes_the_oldest_job_and_names_its_worker(store: Store) -> None:
    first, second = submit(store), submit(store)
    assert claim(store, "anna").job.id == first
    found = claim(store, "bert")
    assert (found.job.id, found.job.worker, found.job.state) == (second, "bert", JobState.RUNNING)
    assert found.job.started_at is not None


def test_a_claim_skips_a_job_leased_by_a_live_worker(store: Store) -> None:
    submit(store)
    claim(store)
    expire(store)
    assert find_claim(store) is None


def test_a_job_is_taken_over_when_its_lease_has_run_out(store: Store) -> None:
    job_id = submit(store)
    first = claim(store, "w1", OVER)
    expire(store)
    assert job_state(store, job_id) is JobState.QUEUED
    second = claim(store, "w2")
    assert (second.job.id, second.job.worker) == (job_id, "w2")
    assert second.token != first.token


def test_a_late_renewal_counts_as_long_as_nobody_took_the_job(store: Store) -> None:
    submit(store)
    held = claim(store, seconds=OVER)
    with store.writing() as tx:
        order = leases.renew_job(tx, held.job.id, held.token, lease_seconds=LIVE)
    assert order is Order.CONTINUE
    expire(store)
    assert job_state(store, held.job.id) is JobState.RUNNING


def test_no_write_of_a_worker_that_lost_its_job_is_taken(store: Store) -> None:
    job_id = submit(store)
    zombie = claim(store, seconds=OVER)
    trial = announce(store, zombie)
    attempt = start(store, zombie, trial)
    report(store, attempt, 1, 2)
    expire(store)
    claim(store, "w2")
    with pytest.raises(LeaseLostError), store.writing() as tx:
        leases.renew_job(tx, job_id, zombie.token, lease_seconds=LIVE)
    with pytest.raises(LeaseLostError):
        announce(store, zombie, 1)
    with pytest.raises(LeaseLostError):
        start(store, zombie, trial)
    with pytest.raises(LeaseLostError):
        report(store, attempt, 3)
    with pytest.raises(LeaseLostError):
        end(store, attempt)
    with pytest.raises(LeaseLostError), store.writing() as tx:
        leases.release_job(tx, job_id, zombie.token, JobEnd(state=JobState.SUCCEEDED))
    with store.reading() as tx:
        assert [r.step for r in records.list_records(tx, trial.id, Slice()).items] == [1, 2]


def test_a_lost_job_keeps_its_ended_trials_and_frees_the_others(store: Store) -> None:
    submit(store)
    held = claim(store, seconds=OVER)
    done, running, waiting = (announce(store, held, number) for number in range(3))
    end(store, start(store, held, done))
    start(store, held, running)
    expire(store)
    states = [trial_state(store, trial) for trial in (done, running, waiting)]
    assert states == [TrialState.COMPLETE, TrialState.WAITING, TrialState.WAITING]


def test_a_silent_attempt_is_lost_while_its_job_goes_on(store: Store) -> None:
    submit(store)
    held = claim(store)
    trial = announce(store, held)
    zombie = start(store, held, trial, OVER)
    expire(store)
    assert job_state(store, held.job.id) is JobState.RUNNING
    assert trial_state(store, trial) is TrialState.WAITING
    start(store, held, trial)
    with pytest.raises(LeaseLostError):
        end(store, zombie)
    assert trial_state(store, trial) is TrialState.RUNNING


def test_a_live_attempt_is_left_alone(store: Store) -> None:
    submit(store)
    held = claim(store)
    trial = announce(store, held)
    start(store, held, trial)
    expire(store)
    assert trial_state(store, trial) is TrialState.RUNNING


def test_a_new_attempt_begins_without_the_records_of_the_lost_one(store: Store) -> None:
    submit(store)
    held = claim(store)
    trial = announce(store, held)
    lost = start(store, held, trial)
    report(store, lost, 1, 2, 3)
    with store.writing() as tx:
        attempts.report(tx, lost.id, lost.token, [], lease_seconds=OVER)
    expire(store)
    again = start(store, held, trial)
    assert (again.trial.epochs, again.trial.widths) == (0, [])
    report(store, again, 1)
    with store.reading() as tx:
        assert trials.get_trial(tx, trial.id).epochs == 1


def test_an_attempt_that_was_never_used_is_replaced_when_its_driver_asks_again(
    store: Store,
) -> None:
    submit(store)
    held = claim(store)
    trial = announce(store, held)
    unanswered = start(store, held, trial)
    second = start(store, held, trial)
    with pytest.raises(LeaseLostError):
        report(store, unanswered, 1)
    report(store, second, 1)
    with pytest.raises(ConflictError, match="is running, so no attempt at it can start"):
        start(store, held, trial)


def test_a_lost_job_that_should_stop_is_cancelled(store: Store) -> None:
    job_id = submit(store)
    held = claim(store, seconds=OVER)
    trial = announce(store, held)
    start(store, held, trial)
    with store.writing() as tx:
        jobs.cancel_job(tx, job_id)
    expire(store)
    assert job_state(store, job_id) is JobState.CANCELLED
    assert trial_state(store, trial) is TrialState.CANCELLED
    assert find_claim(store) is None


def test_a_job_given_back_waits_for_the_next_worker_with_its_trials(store: Store) -> None:
    job_id = submit(store)
    held = claim(store)
    trial = announce(store, held)
    start(store, held, trial)
    with store.writing() as tx:
        leases.release_job(tx, job_id, held.token, JobEnd(state=JobState.QUEUED))
    assert trial_state(store, trial) is TrialState.WAITING
    assert claim(store, "w2").job.id == job_id


def test_a_job_given_back_after_a_cancel_does_not_queue_again(store: Store) -> None:
    job_id = submit(store)
    held = claim(store)
    with store.writing() as tx:
        jobs.cancel_job(tx, job_id)
        job = leases.release_job(tx, job_id, held.token, JobEnd(state=JobState.QUEUED))
    assert job.state is JobState.CANCELLED


def test_leases_follow_the_database_clock_to_the_millisecond(store: Store) -> None:
    with store.reading() as tx:
        query = select(now().label("here"), now(plus_seconds=0.25).label("later"))
        row = tx.connection.execute(query).one()
    assert 0.24 <= (row.later - row.here).total_seconds() <= 0.35
    assert row.here.utcoffset().total_seconds() == 0
