"""The reporter against a real server that goes away and comes back."""

import time
from collections.abc import Callable, Iterator

import pytest

from shrinknets.wire import (
    AttemptEnd,
    Order,
    Phase,
    Record,
    RecordBatch,
    Trial,
    TrialRequest,
    TrialState,
)
from tests.worker.small_service import SmallService
from worker.errors import RefusedError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.exit_codes import ExitCode
from worker.trial.reporter import Reporter

GivenUp = list[tuple[ExitCode, str]]


@pytest.fixture
def given_up() -> GivenUp:
    return []


@pytest.fixture
def client(service: SmallService) -> Iterator[ServiceClient]:
    with ServiceClient(service.url, patience=Patience(seconds=5)) as client:
        yield client


@pytest.fixture
def reporter(
    client: ServiceClient,
    service: SmallService,
    given_up: GivenUp,
    make_trial: Callable[..., Trial],
) -> Reporter:
    request = TrialRequest(method="path", number=0, params={}, seed=0)
    service.ended = make_trial(request).model_dump_json().encode()
    return Reporter(
        AttemptLease(client, "a1", "secret"),
        give_up=lambda code, reason: given_up.append((code, reason)),
        post_seconds=0.05,
        renew_seconds=0.2,
    )


def record(step: int) -> Record:
    return Record(
        step=step,
        phase=Phase.TRAIN,
        train_loss=1.0,
        validation_loss=1.0,
        validation_accuracy=0.5,
        widths=[4],
        parameters=10,
        macs=10,
        lam=0.0,
        seconds=0.1,
    )


def posted_steps(service: SmallService) -> list[int]:
    batches = [RecordBatch.model_validate_json(body) for body in service.bodies("/records")]
    return [record.step for batch in batches for record in batch.records]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def end(reporter: Reporter, state: TrialState = TrialState.COMPLETE) -> None:
    reporter.end(AttemptEnd(state=state))


def test_records_arrive_in_order_and_in_batches(service: SmallService, reporter: Reporter) -> None:
    for step in range(1, 201):
        reporter.report(record(step))
    end(reporter)
    (body,) = service.bodies("/end")
    rest = [record.step for record in AttemptEnd.model_validate_json(body).records]
    assert posted_steps(service) + rest == list(range(1, 201))
    assert len(service.requests) < 10


def test_the_lease_is_renewed_even_without_records(
    service: SmallService, reporter: Reporter
) -> None:
    wait_until(lambda: service.bodies("/records").count(b'{"records":[]}') >= 3)
    end(reporter)


def test_more_records_than_one_post_takes_arrive_in_several(
    service: SmallService, reporter: Reporter
) -> None:
    service.stop()
    for step in range(1, 12_001):
        reporter.report(record(step))
    service.start()
    wait_until(lambda: len(posted_steps(service)) == 12_000)
    assert posted_steps(service) == list(range(1, 12_001))
    end(reporter)


def test_reporting_never_waits_and_nothing_is_lost_while_the_service_is_away(
    service: SmallService, reporter: Reporter
) -> None:
    reporter.report(record(1))
    wait_until(lambda: posted_steps(service) == [1])
    service.stop()
    started = time.monotonic()
    for step in range(2, 1001):
        reporter.report(record(step))
    reporter.upload(b"weights")
    assert time.monotonic() - started < 5
    time.sleep(0.5)
    service.start()
    wait_until(lambda: posted_steps(service)[-1] == 1000)
    reporter.flush()
    end(reporter)
    assert sorted(set(posted_steps(service))) == list(range(1, 1001))
    assert service.requests[-1][1].endswith("/attempts/a1/end")


def test_an_artifact_is_named_by_its_digest_and_sent_before_the_end(
    service: SmallService, reporter: Reporter
) -> None:
    sha256 = reporter.upload(b"weights")
    reporter.flush()
    end(reporter)
    paths = [path for _, path, _, _ in service.requests]
    assert service.bodies(f"/artifacts/{sha256}") == [b"weights"]
    assert paths.index(f"/api/v1/worker/artifacts/{sha256}") < len(paths) - 1


def test_an_order_to_stop_is_heard(service: SmallService, reporter: Reporter) -> None:
    assert reporter.order is Order.CONTINUE
    service.order = Order.STOP
    wait_until(lambda: reporter.order is Order.STOP)
    end(reporter, TrialState.CANCELLED)


def test_a_lost_lease_ends_the_trial_at_once_and_writes_nothing_more(
    service: SmallService, reporter: Reporter, given_up: GivenUp
) -> None:
    service.status = 409
    reporter.report(record(1))
    wait_until(lambda: bool(given_up))
    assert given_up[0][0] is ExitCode.LEASE_LOST
    num_requests = len(service.requests)
    time.sleep(0.5)
    assert len(service.requests) == num_requests


def test_the_trial_ends_itself_when_the_service_stays_away(
    service: SmallService, given_up: GivenUp
) -> None:
    service.stop()
    with ServiceClient(service.url, patience=Patience(seconds=0.3)) as client:
        lease = AttemptLease(client, "a1", "secret")
        Reporter(lease, give_up=lambda code, reason: given_up.append((code, reason)))
        wait_until(lambda: bool(given_up))
    assert given_up[0][0] is ExitCode.SERVICE_AWAY


def test_without_room_for_a_file_records_still_arrive_and_it_is_tried_again(
    service: SmallService,
    reporter: Reporter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("worker.trial.reporter.FULL_SECONDS", 0.1)
    service.is_full = True
    sha256 = reporter.upload(b"weights")
    wait_until(lambda: len(service.bodies(f"/artifacts/{sha256}")) >= 2)
    reporter.report(record(1))
    wait_until(lambda: posted_steps(service) == [1])
    assert "training goes on and it is tried again" in caplog.text
    service.is_full = False
    num_tries = len(service.bodies(f"/artifacts/{sha256}"))
    reporter.flush()
    assert len(service.bodies(f"/artifacts/{sha256}")) == num_tries + 1
    end(reporter)


def test_who_waits_for_records_to_be_sent_waits_no_longer(
    service: SmallService, reporter: Reporter
) -> None:
    for step in range(1, 10):
        reporter.report(record(step))
    assert reporter.wait_until_sent(reporter.mark(), seconds=5)
    assert posted_steps(service) == list(range(1, 10))
    service.status = 503
    reporter.report(record(10))
    assert not reporter.wait_until_sent(reporter.mark(), seconds=0.3)
    service.status = 200
    end(reporter)


def test_a_refused_record_is_an_error_for_the_training(
    service: SmallService, reporter: Reporter
) -> None:
    service.status = 422
    reporter.report(record(1))
    wait_until(lambda: posted_steps(service) == [1])
    with pytest.raises(RefusedError):
        reporter.flush()
    service.status = 200
    end(reporter, TrialState.FAILED)
