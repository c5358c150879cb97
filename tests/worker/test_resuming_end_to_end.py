"""Real workers that are killed, stopped or told to pause: their trials go on where they were."""

import re
import signal
import sys
from collections.abc import Callable

import pytest

from service.store import Store, checkpoints
from shrinknets.wire import (
    CheckpointFile,
    FixedSearch,
    JobSpec,
    JobState,
    Methods,
    Page,
    Record,
    Trial,
    TrialLog,
    TrialState,
)
from tests.worker.real_processes import RealService, RealWorker, all_gone, wait_for

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

StartWorker = Callable[..., RealWorker]
VARIABLE = "SHRINKNETS_WORKER_CHECKPOINT_SECONDS"
ALWAYS, NEVER = "0", "1000"
EPOCHS = 12


@pytest.fixture(autouse=True)
def _one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_WORKER_SLOTS", "1")


@pytest.fixture
def spec(make_spec: Callable[..., JobSpec]) -> JobSpec:
    # Of many steps, so that an epoch takes longer than what is asked of the service for it.
    training = {"epochs": EPOCHS, "batch_size": 4}
    return make_spec(methods=Methods(fixed=FixedSearch(trials=1)), training=training)


def the_trial(service: RealService, job_id: str) -> Trial:
    (trial,) = wait_for(lambda: service.list_trials(job_id), seconds=120)
    return trial


def kept(service: RealService, trial: Trial) -> list[CheckpointFile]:
    with Store(service.database_url) as store, store.reading() as tx:
        return checkpoints.list_checkpoints(tx, trial.id)


def steps_of(service: RealService, trial: Trial) -> list[int]:
    answer = service.http.get(f"/trials/{trial.id}/epochs?limit=1000").raise_for_status()
    return [record.step for record in Page[Record].model_validate_json(answer.content).items]


def resumed_at(service: RealService, trial: Trial) -> list[int]:
    answer = service.http.get(f"/trials/{trial.id}/logs").raise_for_status()
    log = TrialLog.model_validate_json(answer.content).as_text()
    return [int(step) for step in re.findall(r"from the checkpoint of epoch (\d+)", log)]


def expect_whole(service: RealService, job_id: str) -> Trial:
    job = service.wait_until_final(job_id, seconds=300)
    assert job.state is JobState.SUCCEEDED, job.reason
    trial = the_trial(service, job_id)
    assert trial.state is TrialState.COMPLETE
    assert steps_of(service, trial) == list(range(1, EPOCHS + 1))
    assert kept(service, trial) == []
    return trial


def with_a_checkpoint(service: RealService, job_id: str) -> CheckpointFile:
    def look() -> list[CheckpointFile]:
        trial = the_trial(service, job_id)
        assert not trial.state.is_final, "it was over too soon for this test"
        return kept(service, trial)

    return wait_for(look, seconds=300)[0]


@pytest.mark.parametrize("who", ["worker", "forkserver"])
def test_a_trial_goes_on_when_its_worker_or_its_forkserver_is_killed(
    real_service: RealService,
    start_worker: StartWorker,
    spec: JobSpec,
    monkeypatch: pytest.MonkeyPatch,
    who: str,
) -> None:
    monkeypatch.setenv(VARIABLE, ALWAYS)
    job_id = real_service.submit(spec)
    first = start_worker("--once")
    newest = with_a_checkpoint(real_service, job_id)
    if who == "worker":
        family = first.family()
        first.process.kill()
        assert all_gone(family)
        start_worker("--once")
    else:
        (forkserver,) = first.process.children()
        forkserver.kill()
    trial = expect_whole(real_service, job_id)
    (step,) = resumed_at(real_service, trial)
    assert step >= newest.step


@pytest.mark.parametrize("how", ["paused", "told to stop"])
def test_a_worker_that_lets_go_in_order_loses_no_epoch(
    real_service: RealService,
    start_worker: StartWorker,
    spec: JobSpec,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setenv(VARIABLE, NEVER)
    # This machine may have better things to do at this moment.
    monkeypatch.setenv("SHRINKNETS_WORKER_FLAG_SECONDS", "60")
    monkeypatch.setenv("SHRINKNETS_WORKER_TERMINATE_SECONDS", "60")
    job_id = real_service.submit(spec)
    worker = start_worker()
    wait_for(lambda: the_trial(real_service, job_id).epochs >= 1, seconds=300)
    if how == "paused":
        real_service.pause(job_id)
        wait_for(lambda: real_service.get_job(job_id).state is JobState.PAUSED, seconds=90)
    else:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(90) == 0
        start_worker("--once")
    if how == "paused":
        (last,) = kept(real_service, the_trial(real_service, job_id))
        real_service.resume(job_id)
        assert resumed_at(real_service, expect_whole(real_service, job_id)) == [last.step]
    else:
        assert len(resumed_at(real_service, expect_whole(real_service, job_id))) == 1
