"""The HTTP client against a real server that refuses, goes away and comes back."""

import logging
import threading
import time
from collections.abc import Iterator

import pytest

from shrinknets.wire import ClaimRequest
from tests.worker.small_service import SmallService
from worker.errors import LeaseLostError, RefusedError, ServiceUnreachableError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient


@pytest.fixture
def client(service: SmallService) -> Iterator[ServiceClient]:
    with ServiceClient(service.url, patience=Patience(seconds=10)) as client:
        yield client


@pytest.fixture
def lease(client: ServiceClient) -> AttemptLease:
    return AttemptLease(client, "a1", "secret")


def test_every_write_shows_its_lease(service: SmallService, lease: AttemptLease) -> None:
    lease.post_records([])
    ((method, path, body, token),) = service.requests
    assert (method, path, token) == ("POST", "/api/v1/worker/attempts/a1/records", "secret")
    assert body == b'{"records":[]}'


def test_a_409_is_a_lost_lease(service: SmallService, lease: AttemptLease) -> None:
    service.status = 409
    with pytest.raises(LeaseLostError, match="not like this"):
        lease.post_records([])


def test_a_refusal_tells_the_problem_and_is_not_repeated(
    service: SmallService, lease: AttemptLease
) -> None:
    service.status = 422
    with pytest.raises(RefusedError, match="refused with status 422: not like this"):
        lease.post_records([])
    assert len(service.requests) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_service_that_cannot_now_is_asked_again(
    service: SmallService, lease: AttemptLease, status: int
) -> None:
    service.status = status
    threading.Timer(0.3, lambda: setattr(service, "status", 200)).start()
    lease.post_records([])
    assert len(service.requests) > 1


def test_a_call_waits_for_a_service_that_comes_back_and_says_so_once(
    service: SmallService, lease: AttemptLease, caplog: pytest.LogCaptureFixture
) -> None:
    service.stop()
    threading.Timer(1.0, service.start).start()
    with caplog.at_level(logging.WARNING):
        lease.post_records([])
    assert len(service.requests) == 1
    away, back = caplog.messages
    assert away.startswith(f"the service at {service.url} does not answer: ")
    assert back == f"the service at {service.url} answers again"


def test_patience_ends(service: SmallService) -> None:
    service.stop()
    with (
        ServiceClient(service.url, patience=Patience(seconds=0.2)) as client,
        pytest.raises(ServiceUnreachableError),
    ):
        client.claim(ClaimRequest(worker="w"))


def test_a_call_in_vain_ends_when_the_worker_is_stopped(service: SmallService) -> None:
    service.stop()
    stopping = threading.Event()
    threading.Timer(0.3, stopping.set).start()
    started = time.monotonic()
    with (
        ServiceClient(service.url, patience=Patience(stopping=stopping)) as client,
        pytest.raises(ServiceUnreachableError),
    ):
        client.claim(ClaimRequest(worker="w"))
    assert time.monotonic() - started < 10
