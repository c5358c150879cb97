"""One attempt, with the real training, against a server that keeps what it gets."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from shrinknets.wire import (
    AttemptEnd,
    JobSpec,
    Method,
    NewCheckpoint,
    Order,
    Params,
    RecordBatch,
    Trial,
    TrialAssignment,
    TrialRequest,
    TrialState,
)
from shrinknets_core import Collapse, EpochRecord, Phase, TrialEvent, load_network
from tests.worker.small_service import SmallService
from worker.errors import EnvironmentVariableError, LeaseLostError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.environment import TrialEnvironment
from worker.trial.exit_codes import ExitCode
from worker.trial.run import run_attempt

PARAMS: dict[Method, Params] = {
    Method.SHRINKNETS: {"lam": 0.001},
    Method.PATH: {},
    Method.FIXED: {"depth": 2, "width_0": 7, "width_1": 5},
    Method.FIXED_L2: {"depth": 1, "width_0": 6, "l2": 1e-4},
    Method.RETRAIN: {"network": "net-1", "widths": [7, 5], "epochs": 3},
}
EPOCH = EpochRecord(
    step=1,
    phase=Phase.TRAIN,
    train_loss=1.0,
    validation_loss=1.0,
    validation_accuracy=0.25,
    widths=(4,),
    parameters=10,
    macs=10,
    lam=0.0,
    seconds=0.1,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def lease(service: SmallService) -> Iterator[AttemptLease]:
    with ServiceClient(service.url, patience=Patience(seconds=5)) as client:
        yield AttemptLease(client, "a1", "secret")


@pytest.fixture
def assign(
    service: SmallService, make_spec: Callable[..., JobSpec], make_trial: Callable[..., Trial]
) -> Callable[..., None]:
    """Have the service hand out a trial of this method."""

    def assign(method: Method, params: Params | None = None, **changes: object) -> None:
        params = PARAMS[method] if params is None else params
        request = TrialRequest(method=method, number=0, params=params, seed=1)
        trial = make_trial(request, state=TrialState.RUNNING)
        assignment = TrialAssignment(spec=make_spec(**changes), trial=trial)
        service.assignment = assignment.model_dump_json().encode()
        service.ended = trial.model_dump_json().encode()

    return assign


def never_give_up(code: ExitCode, reason: str) -> None:
    raise AssertionError(f"gave up with {code!r}: {reason}")


def end_of(service: SmallService) -> AttemptEnd:
    (body,) = service.bodies("/end")
    return AttemptEnd.model_validate_json(body)


@pytest.mark.parametrize("method", PARAMS)
def test_each_method_hands_in_epochs_networks_and_weights(
    service: SmallService,
    lease: AttemptLease,
    assign: Callable[..., None],
    method: Method,
    tmp_path: Path,
) -> None:
    assign(method)
    run_attempt(lease, give_up=never_give_up)
    end = end_of(service)
    assert (end.state, end.reason) == (TrialState.COMPLETE, "")
    batches = [RecordBatch.model_validate_json(body) for body in service.bodies("/records")]
    steps = [record.step for batch in [*batches, end] for record in batch.records]
    assert steps == list(range(1, len(steps) + 1))
    assert end.networks
    for network in end.networks:
        (weights,) = set(service.bodies(f"/artifacts/{network.weights_sha256}"))
        assert hashlib.sha256(weights).hexdigest() == network.weights_sha256
        assert len(weights) == network.weights_bytes
        (tmp_path / "network.safetensors").write_bytes(weights)
        assert load_network(tmp_path / "network.safetensors")(torch.ones(1, 64)).shape == (1, 10)


def test_fixed_widths_are_those_of_the_parameters(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    assign(Method.FIXED)
    run_attempt(lease, give_up=never_give_up)
    assert end_of(service).networks[0].widths == [7, 5]


def test_the_same_trial_gives_the_same_weights_again(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    assign(Method.FIXED_L2)
    run_attempt(lease, give_up=never_give_up)
    run_attempt(lease, give_up=never_give_up)
    first, second = (AttemptEnd.model_validate_json(body) for body in service.bodies("/end"))
    assert first.networks[0].weights_sha256 == second.networks[0].weights_sha256


def test_a_collapse_is_infeasible_not_a_failure(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    def train(_: TrialAssignment) -> Iterator[TrialEvent]:
        yield EPOCH
        yield Collapse(step=1, reason="layer 0 lost its last feature")

    assign(Method.SHRINKNETS)
    run_attempt(lease, give_up=never_give_up, train=train)
    end = end_of(service)
    assert end.state is TrialState.INFEASIBLE
    assert end.reason == "layer 0 lost its last feature"


def test_a_penalty_that_nothing_survives_is_infeasible(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    assign(Method.SHRINKNETS, {"lam": 1000.0}, training={"epochs": 20})
    run_attempt(lease, give_up=never_give_up)
    end = end_of(service)
    assert end.state is TrialState.INFEASIBLE
    assert "collapsed in epoch" in end.reason


def test_an_error_ends_the_attempt_with_the_last_lines_of_its_traceback(
    service: SmallService,
    lease: AttemptLease,
    assign: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    def train(_: TrialAssignment) -> Iterator[TrialEvent]:
        yield EPOCH
        raise RuntimeError("no more memory on the card")

    assign(Method.FIXED)
    run_attempt(lease, give_up=never_give_up, train=train)
    end = end_of(service)
    assert end.state is TrialState.FAILED
    assert end.reason.endswith("RuntimeError: no more memory on the card")
    assert "no more memory" in capsys.readouterr().err


def test_a_number_that_json_cannot_hold_fails_the_trial_in_words(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    def train(_: TrialAssignment) -> Iterator[TrialEvent]:
        yield replace(EPOCH, train_loss=float("nan"))

    assign(Method.FIXED)
    run_attempt(lease, give_up=never_give_up, train=train)
    assert "train_loss" in end_of(service).reason


@pytest.mark.parametrize(
    ("order", "state"),
    [(Order.STOP, TrialState.CANCELLED), (Order.PAUSE, TrialState.WAITING)],
)
def test_an_order_to_stop_or_pause_ends_the_attempt_after_the_epoch(
    service: SmallService,
    lease: AttemptLease,
    assign: Callable[..., None],
    order: Order,
    state: TrialState,
) -> None:
    pause = threading.Event()

    def train(_: TrialAssignment) -> Iterator[TrialEvent]:
        for step in range(1, 1000):
            pause.wait(0.01)
            yield replace(EPOCH, step=step)

    assign(Method.FIXED)
    service.order = order
    run_attempt(lease, give_up=never_give_up, train=train)
    end = end_of(service)
    assert end.state is state
    assert len(end.records) < 500


def test_a_checkpoint_comes_after_the_records_up_to_it(
    service: SmallService, lease: AttemptLease, assign: Callable[..., None]
) -> None:
    assign(Method.FIXED, training={"epochs": 40})
    run_attempt(lease, give_up=never_give_up, checkpoint_seconds=0.0)
    reported: set[int] = set()
    named = 0
    for _, path, body, _ in list(service.requests):
        if path.endswith("/records"):
            reported |= {r.step for r in RecordBatch.model_validate_json(body).records}
        elif path.endswith("/checkpoints"):
            new = NewCheckpoint.model_validate_json(body)
            assert reported >= set(range(1, new.step + 1))
            assert hashlib.sha256(service.bodies(new.sha256)[0]).hexdigest() == new.sha256
            named += 1
    assert named


def test_a_checkpoint_without_room_is_told_and_training_goes_on(
    service: SmallService,
    lease: AttemptLease,
    assign: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assign(Method.FIXED, training={"epochs": 40})
    service.is_full = True

    def make_room() -> None:
        while "training goes on" not in caplog.text:
            time.sleep(0.01)
        service.is_full = False

    helper = threading.Thread(target=make_room)
    helper.start()
    run_attempt(lease, give_up=never_give_up, checkpoint_seconds=0.0)
    helper.join()
    assert "was not kept, training goes on" in caplog.text
    assert end_of(service).state is TrialState.COMPLETE


def test_a_lease_that_is_lost_before_the_start_is_an_error(
    service: SmallService, lease: AttemptLease
) -> None:
    service.status = 409
    with pytest.raises(LeaseLostError):
        run_attempt(lease, give_up=never_give_up)


def test_missing_variables_are_named() -> None:
    with pytest.raises(EnvironmentVariableError, match="SHRINKNETS_ATTEMPT, SHRINKNETS_TOKEN"):
        TrialEnvironment.read({"SHRINKNETS_URL": "http://127.0.0.1:1"})


@pytest.mark.slow
def test_the_command_without_its_environment_says_what_is_missing() -> None:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("SHRINKNETS_")}
    command = [sys.executable, "-m", "worker.trial"]
    done = subprocess.run(command, check=False, env=variables, capture_output=True, text=True)
    assert done.returncode == ExitCode.BAD_ENVIRONMENT
    assert "set SHRINKNETS_URL, SHRINKNETS_ATTEMPT, SHRINKNETS_TOKEN" in done.stderr


@pytest.mark.slow
def test_the_command_by_hand_trains_a_trial(
    service: SmallService, assign: Callable[..., None]
) -> None:
    assign(Method.FIXED)
    environment = TrialEnvironment(url=service.url, attempt_id="a1", token="secret")
    subprocess.run(
        [sys.executable, "-m", "worker.trial"],
        env={**os.environ, **environment.variables()},
        check=True,
    )
    assert end_of(service).state is TrialState.COMPLETE


@pytest.mark.slow
def test_the_command_ends_at_once_when_its_lease_is_lost(
    service: SmallService, assign: Callable[..., None]
) -> None:
    assign(Method.FIXED, training={"epochs": 100_000})
    environment = TrialEnvironment(url=service.url, attempt_id="a1", token="secret")
    process = psutil.Popen(
        [sys.executable, "-m", "worker.trial"], env={**os.environ, **environment.variables()}
    )
    while not service.bodies("/records"):
        assert process.poll() is None
    service.status = 409
    assert process.wait(60) == ExitCode.LEASE_LOST
    assert not service.bodies("/end")


@pytest.mark.slow
def test_a_trial_process_loads_neither_the_search_nor_its_libraries() -> None:
    code = "import sys, worker.trial.__main__; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"optuna", "typer", "worker.driver"} & set(done.stdout.split())
