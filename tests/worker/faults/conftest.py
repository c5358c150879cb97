"""A real service and a real worker that the faults of trials share, as both take long to start."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from shrinknets.wire import Job, JobState, TrialState
from tests.worker.real_processes import RealService, RealWorker, all_gone

EPOCHS = 150


@pytest.fixture(scope="module")
def shared_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealService]:
    service = RealService(tmp_path_factory.mktemp("service"), attempt_lease_seconds=8.0)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture(scope="module")
def shared_worker(
    shared_service: RealService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealWorker]:
    worker = start_worker(shared_service, tmp_path_factory.mktemp("worker"))
    yield worker
    stop_in_order(worker)


def start_worker(service: RealService, folder: Path, **variables: str) -> RealWorker:
    """A worker that trains one trial at a time."""
    options = ("--slots", "1", "--device", "cpu")
    return RealWorker(service.url, folder, *options, variables=variables)


def stop_in_order(worker: RealWorker) -> None:
    """Tell a worker to stop; nothing that it started may be left."""
    family = worker.family()
    worker.process.send_signal(signal.SIGTERM)
    try:
        worker.process.wait(60)
    finally:
        worker.kill()
    assert all_gone(family)


@pytest.fixture
def make_faulty(make_spec: Callable[..., Any]) -> Callable[..., Any]:
    """A job of a few small fixed networks that train for a second or two."""

    def make(trials: int = 2, **changes: Any) -> Any:
        training = {"epochs": EPOCHS, "batch_size": 64}
        return make_spec(**{"methods": fixed(trials), "training": training, **changes})

    return make


def fixed(trials: int) -> dict[str, Any]:
    return {"fixed": {"trials": trials}}


def expect_whole(
    service: RealService, job: Job, *, trials: int, epochs: int = EPOCHS, failed: int = 0
) -> None:
    """The job ended as it would have: each trial once, each epoch once."""
    assert job.state is JobState.SUCCEEDED, job.reason
    found = service.list_trials(job.id)
    assert [trial.number for trial in found] == list(range(trials))
    states = [trial.state for trial in found]
    assert states.count(TrialState.FAILED) == failed
    assert states.count(TrialState.COMPLETE) == trials - failed
    for trial in found:
        if trial.state is TrialState.COMPLETE:
            assert steps_of(service, trial.id) == list(range(1, epochs + 1))


def steps_of(service: RealService, trial_id: str) -> list[int]:
    answer = service.http.get(f"/trials/{trial_id}/epochs?limit=1000").raise_for_status()
    return [record["step"] for record in answer.json()["items"]]


def forkserver_of(worker: RealWorker) -> psutil.Process:
    (server,) = worker.process.children()
    return server
