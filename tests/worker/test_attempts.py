"""Trials whose attempts go astray, with the real service and the real engine."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shrinknets.wire import (
    ClaimRequest,
    FixedSearch,
    JobSpec,
    Method,
    Methods,
    Trial,
    TrialRequest,
    TrialState,
)
from tests.worker.real_processes import RealService, wait_for
from worker.attempts import Attempts
from worker.engines import LocalEngine
from worker.leases import AttemptLease, JobLease
from worker.patience import Patience
from worker.service_client import ServiceClient

pytestmark = pytest.mark.slow


@pytest.fixture
def real_service(tmp_path: Path) -> Iterator[RealService]:
    service = RealService(tmp_path, attempt_lease_seconds=1.0)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def lease(real_service: RealService, make_spec: Callable[..., JobSpec]) -> Iterator[JobLease]:
    real_service.submit(make_spec(methods=Methods(fixed=FixedSearch(trials=2))))
    with ServiceClient(real_service.url, patience=Patience(seconds=10)) as client:
        claim = client.claim(ClaimRequest(worker="tester"))
        assert claim is not None
        yield JobLease(client, claim)


@pytest.fixture
def attempts(lease: JobLease, tmp_path: Path) -> Iterator[Attempts]:
    engine = LocalEngine(folder=tmp_path, threads=1)
    attempts = Attempts(lease, engine=engine, slots=2, cache=tmp_path / "cache")
    yield attempts
    engine.close()
    attempts.close()


def announce(lease: JobLease) -> Trial:
    params = {"depth": 1, "width_0": 8}
    return lease.announce(TrialRequest(method=Method.FIXED, number=0, params=params, seed=1))


def test_a_trial_whose_attempt_never_reached_us_starts_again_when_its_lease_has_run_out(
    lease: JobLease, attempts: Attempts
) -> None:
    trial = announce(lease)
    lease.start_attempt(trial.id)
    attempts.add(trial)
    assert attempts.start_waiting() == []
    assert attempts.num_unfinished == 1

    def work() -> list[Trial]:
        lease.renew()
        return attempts.start_waiting() + attempts.wait(0.2)

    (ended,) = wait_for(work, seconds=120)
    assert (ended.id, ended.state) == (trial.id, TrialState.COMPLETE)
    assert attempts.num_unfinished == 0


def test_announcing_a_trial_twice_gives_the_same_trial(lease: JobLease) -> None:
    assert announce(lease).id == announce(lease).id


def test_a_lease_is_held_until_its_attempt_is_over_and_asking_does_not_prolong_it(
    lease: JobLease,
) -> None:
    attempt = lease.start_attempt(announce(lease).id)
    held = AttemptLease(lease.client, attempt.id, attempt.token)
    assert held.is_held()
    wait_for(lambda: lease.renew() and not held.is_held(), seconds=120)
    # Another service may have given it out: nobody here can say that it is over.
    assert AttemptLease(lease.client, "attempt-0000000000", "unknown").is_held()
