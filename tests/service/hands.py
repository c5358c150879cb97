"""Single steps of clients and workers on the store, each in a transaction of its own."""

from service.store import Store, attempts, claims, expiry, jobs, trials
from shrinknets.wire import (
    Attempt,
    AttemptEnd,
    Claim,
    ClaimRequest,
    FamilyOffer,
    JobSpec,
    JobState,
    Method,
    Record,
    Trial,
    TrialRequest,
    TrialState,
)
from tests.service.actors import record, spec

LIVE = 60.0
OVER = -1.0


def submit(store: Store, *, priority: int = 0, family: str = "mlp") -> str:
    wanted = JobSpec.model_validate(spec(network={"family": family}))
    with store.writing() as tx:
        return jobs.create_job(tx, wanted, priority=priority).id


def asking(worker: str, *families: str) -> ClaimRequest:
    """A worker that can build these families; one that names none has not told yet."""
    offers = tuple(FamilyOffer(name=name, layers=()) for name in families)
    return ClaimRequest(worker=worker, families=offers or None)


def claim(store: Store, worker: str = "w", seconds: float = LIVE) -> Claim:
    found = find_claim(store, worker, seconds)
    assert found is not None
    return found


def find_claim(
    store: Store, worker: str = "w", seconds: float = LIVE, *, families: tuple[str, ...] = ()
) -> Claim | None:
    asked = asking(worker, *families)
    with store.writing() as tx:
        return claims.claim_jobs(tx, [asked], lease_seconds=seconds)[0]


def announce(store: Store, held: Claim, number: int = 0) -> Trial:
    request = TrialRequest(method=Method.PATH, number=number, params={}, seed=1)
    with store.writing() as tx:
        return trials.create_trial(tx, held.job.id, held.token, request)[0]


def start(store: Store, held: Claim, trial: Trial, seconds: float = LIVE) -> Attempt:
    with store.writing() as tx:
        return attempts.start_attempt(tx, trial.id, held.token, lease_seconds=seconds)


def report(store: Store, attempt: Attempt, *steps: int) -> None:
    batch = [Record.model_validate(record(step)) for step in steps]
    with store.writing() as tx:
        attempts.report(tx, attempt.id, attempt.token, batch, lease_seconds=LIVE)


def end(store: Store, attempt: Attempt, state: TrialState = TrialState.COMPLETE) -> Trial:
    with store.writing() as tx:
        return attempts.end_attempt(tx, attempt.id, attempt.token, AttemptEnd(state=state))


def expire(store: Store) -> None:
    with store.writing() as tx:
        expiry.expire_jobs(tx)
        expiry.expire_attempts(tx)


def job_state(store: Store, job_id: str) -> JobState:
    with store.reading() as tx:
        return jobs.get_job(tx, job_id).state


def trial_state(store: Store, trial: Trial) -> TrialState:
    with store.reading() as tx:
        return trials.get_trial(tx, trial.id).state
