"""A lease is renewed while its holder computes, and no longer."""

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from shrinknets.wire import Claim, Order
from tests.worker.real_processes import PATIENCE, wait_for
from tests.worker.small_service import SmallService
from worker.errors import LeaseLostError, NotAllowedError, ServiceUnreachableError, WorkerError
from worker.heartbeat import renewing
from worker.leases import JobLease
from worker.patience import Patience
from worker.service_client import ServiceClient

SOON = 0.01
NEVER = 3600.0
JOB = {
    "id": "job-1",
    "state": "running",
    "reason": "",
    "name": "",
    "labels": {},
    "priority": 0,
    "spec": {"dataset": "digits", "methods": {"path": {}}},
    "progress": {
        "total": 1,
        "ended": 0,
        "running": 0,
        "best_validation_accuracy": None,
        "alive_units": None,
    },
    "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    "started_at": None,
    "ended_at": None,
    "worker": "w",
}


@pytest.fixture
def lease(service: SmallService) -> Iterator[JobLease]:
    claim = Claim.model_validate({"job": JOB, "token": "secret", "lease_seconds": 3.0})
    with ServiceClient(service.url, patience=Patience(seconds=0.1)) as client:
        yield JobLease(client, claim)


def heartbeats() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def wait_for_renewals(service: SmallService, number: int) -> None:
    wait_for(lambda: len(service.requests) >= number, seconds=PATIENCE)


def wait_until_it_gave_up() -> None:
    wait_for(lambda: not heartbeats(), seconds=PATIENCE)


def test_the_lease_is_renewed_again_and_again_while_the_block_runs(
    service: SmallService, lease: JobLease
) -> None:
    with renewing(lease, every_seconds=SOON):
        wait_for_renewals(service, 3)
        assert len(heartbeats()) == 1
    asked = {(method, path, token) for method, path, _, token in service.requests}
    assert asked == {("POST", "/api/v1/worker/jobs/job-1/renew", "secret")}


def test_nothing_asks_any_more_once_the_block_has_ended(
    service: SmallService, lease: JobLease
) -> None:
    with renewing(lease, every_seconds=SOON):
        wait_for_renewals(service, 1)
    assert heartbeats() == []
    so_far = len(service.requests)
    time.sleep(5 * SOON)
    assert len(service.requests) == so_far


def test_a_short_block_asks_nothing_and_does_not_wait_for_the_next_renewal(
    service: SmallService, lease: JobLease
) -> None:
    started = time.monotonic()
    with renewing(lease, every_seconds=NEVER):
        pass
    assert time.monotonic() - started < PATIENCE
    assert (service.requests, heartbeats()) == ([], [])


def test_an_error_of_the_block_comes_out_as_it_is_and_ends_the_renewals(
    service: SmallService, lease: JobLease
) -> None:
    error = RuntimeError("of the block")

    def compute() -> None:
        wait_for_renewals(service, 1)
        raise error

    with pytest.raises(RuntimeError) as caught, renewing(lease, every_seconds=SOON):
        compute()
    assert caught.value is error
    assert heartbeats() == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(409, LeaseLostError), (401, NotAllowedError), (503, ServiceUnreachableError)],
)
def test_a_refused_renewal_disturbs_no_block_and_is_told_by_the_drivers_own(
    service: SmallService, lease: JobLease, status: int, error: type[WorkerError]
) -> None:
    service.status = status
    with renewing(lease, every_seconds=SOON):
        wait_for_renewals(service, 1)
        wait_until_it_gave_up()
        so_far = len(service.requests)
        time.sleep(5 * SOON)
        assert len(service.requests) == so_far
    with pytest.raises(error):
        lease.renew()


def test_an_order_that_a_renewal_brings_is_brought_again_by_the_drivers_own(
    service: SmallService, lease: JobLease
) -> None:
    service.order = Order.STOP
    with renewing(lease, every_seconds=SOON):
        wait_for_renewals(service, 2)
    assert lease.renew() is Order.STOP


def test_a_service_that_is_away_for_a_moment_costs_no_renewals(service: SmallService) -> None:
    claim = Claim.model_validate({"job": JOB, "token": "secret", "lease_seconds": 3.0})
    with (
        ServiceClient(service.url, patience=Patience()) as client,
        renewing(JobLease(client, claim), every_seconds=SOON),
    ):
        wait_for_renewals(service, 1)
        service.stop()
        so_far = len(service.requests)
        time.sleep(5 * SOON)
        service.start()
        wait_for_renewals(service, so_far + 2)
    assert heartbeats() == []
