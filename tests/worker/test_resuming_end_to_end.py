"""Trials that lose their process go on from their checkpoint, as if nothing had happened."""

import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.store import Store, checkpoints
from shrinknets.wire import (
    CheckpointFile,
    FixedSearch,
    JobSpec,
    JobState,
    LogRange,
    Methods,
    MLPBounds,
    Network,
    Page,
    PathRun,
    Record,
    ShrinkNetsSearch,
    Trial,
    TrialLog,
    TrialState,
)
from tests.worker.real_processes import RealService, RealWorker, all_gone, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]

Facts = tuple[list[dict[str, Any]], list[dict[str, Any]]]
StartWorker = Callable[..., RealWorker]
VARIABLE = "SHRINKNETS_WORKER_CHECKPOINT_SECONDS"
ALWAYS, NEVER = "0", "1000"
# Of many steps, so that an epoch takes longer than all that is asked of the service for it.
LONG = {"epochs": 12, "batch_size": 4}
METHODS = {
    "fixed": Methods(fixed=FixedSearch(trials=1)),
    "shrinknets": Methods(shrinknets=ShrinkNetsSearch(trials=1, lam=LogRange(low=1e-2, high=2e-2))),
    "path": Methods(path=PathRun()),
}


@pytest.fixture
def real_service(tmp_path: Path) -> Iterator[RealService]:
    service = RealService(tmp_path)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def start_worker(real_service: RealService, tmp_path: Path) -> Iterator[StartWorker]:
    workers = []

    def start(*options: str) -> RealWorker:
        workers.append(RealWorker(real_service.url, tmp_path, "--slots", "1", *options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Facts]:
    """The records and networks of a method's trial that nothing disturbed."""

    @cache
    def run(method: str) -> Facts:
        folder = tmp_path_factory.mktemp("undisturbed")
        service = RealService(folder)
        worker = RealWorker(service.url, folder, "--slots", "1", "--once")
        try:
            return facts_of(service, finished(service, service.submit(spec_of(method))))
        finally:
            worker.kill()
            service.http.close()
            service.kill()

    return run


def spec_of(method: str) -> JobSpec:
    """A job of one trial that takes a second or two on an idle machine."""
    training = {"epochs": 4, "batch_size": 16} if method == "path" else LONG
    return JobSpec.model_validate(
        {
            "dataset": "digits",
            "network": MLPBounds(widths=(16, 8)),
            "methods": METHODS[method],
            "training": training,
            "seed": 3,
        }
    )


def the_trial(service: RealService, job_id: str) -> Trial:
    (trial,) = wait_for(lambda: service.list_trials(job_id), seconds=60)
    return trial


def kept(service: RealService, trial: Trial) -> list[CheckpointFile]:
    with Store(service.database_url) as store, store.reading() as tx:
        return checkpoints.list_checkpoints(tx, trial.id)


def records_of(service: RealService, trial: Trial) -> list[dict[str, Any]]:
    """All epochs but for their seconds."""
    answer = service.http.get(f"/trials/{trial.id}/epochs?limit=1000").raise_for_status()
    page = Page[Record].model_validate_json(answer.content)
    assert page.next is None
    return [record.model_dump(exclude={"seconds"}) for record in page.items]


def networks_of(service: RealService, trial: Trial) -> list[dict[str, Any]]:
    """All networks but for their ids; their digests tell of their weights."""
    answer = service.http.get(f"/trials/{trial.id}/networks?limit=1000").raise_for_status()
    found = Page[Network].model_validate_json(answer.content).items
    return [one.model_dump(exclude={"id", "job_id", "trial_id", "number"}) for one in found]


def log_of(service: RealService, trial: Trial) -> str:
    answer = service.http.get(f"/trials/{trial.id}/logs").raise_for_status()
    return TrialLog.model_validate_json(answer.content).as_text()


def resumed_at(service: RealService, trial: Trial) -> list[int]:
    found = re.findall(r"goes on from the checkpoint of epoch (\d+)", log_of(service, trial))
    return [int(step) for step in found]


def finished(service: RealService, job_id: str) -> Trial:
    job = service.wait_until_final(job_id, seconds=300)
    assert job.state is JobState.SUCCEEDED, job.reason
    trial = the_trial(service, job_id)
    assert trial.state is TrialState.COMPLETE
    assert kept(service, trial) == []
    return trial


def facts_of(service: RealService, trial: Trial) -> Facts:
    return records_of(service, trial), networks_of(service, trial)


def with_checkpoints(service: RealService, job_id: str, number: int = 1) -> Trial:
    def look() -> Trial | None:
        trial = the_trial(service, job_id)
        assert not trial.state.is_final, "it was over too soon for this test"
        return trial if len(kept(service, trial)) >= number else None

    return wait_for(look, seconds=120)


@pytest.mark.parametrize("method", METHODS)
def test_another_worker_goes_on_where_a_killed_one_left_a_checkpoint(
    real_service: RealService,
    start_worker: StartWorker,
    undisturbed: Callable[[str], Facts],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    monkeypatch.setenv(VARIABLE, ALWAYS)
    job_id = real_service.submit(spec_of(method))
    first = start_worker()
    trial = with_checkpoints(real_service, job_id, 2)
    newest = kept(real_service, trial)[0]
    family = first.family()
    first.process.kill()
    assert all_gone(family)
    monkeypatch.setenv(VARIABLE, NEVER)
    start_worker("--once")
    done = finished(real_service, job_id)
    (step,) = resumed_at(real_service, done)
    assert step >= newest.step
    assert facts_of(real_service, done) == undisturbed(method)


def test_a_trial_whose_forkserver_was_killed_goes_on_too(
    real_service: RealService,
    start_worker: StartWorker,
    undisturbed: Callable[[str], Facts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, ALWAYS)
    job_id = real_service.submit(spec_of("fixed"))
    worker = start_worker("--once")
    with_checkpoints(real_service, job_id)
    (forkserver,) = worker.process.children()
    forkserver.kill()
    # The driver does not know that the trial died with it: its lease must run out first, or it is
    # given up as lost.
    done = finished(real_service, job_id)
    assert resumed_at(real_service, done)
    assert facts_of(real_service, done) == undisturbed("fixed")


@pytest.mark.parametrize("how", ["paused", "told to stop"])
def test_a_trial_that_is_stopped_in_order_does_no_epoch_twice(
    real_service: RealService,
    start_worker: StartWorker,
    undisturbed: Callable[[str], Facts],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    monkeypatch.setenv(VARIABLE, NEVER)
    # This machine may have better things to do at this moment.
    monkeypatch.setenv("SHRINKNETS_WORKER_FLAG_SECONDS", "10")
    monkeypatch.setenv("SHRINKNETS_WORKER_TERMINATE_SECONDS", "10")
    job_id = real_service.submit(spec_of("shrinknets"))
    worker = start_worker()
    wait_for(lambda: the_trial(real_service, job_id).epochs >= 2, seconds=120)
    if how == "paused":
        real_service.pause(job_id)
        wait_for(lambda: real_service.get_job(job_id).state is JobState.PAUSED, seconds=20)
        worker.kill()
    else:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(20) == 0
    trial = the_trial(real_service, job_id)
    assert trial.state is TrialState.WAITING
    (last,) = kept(real_service, trial)
    assert last.step == len(records_of(real_service, trial)), "no epoch after it was reported"
    if how == "paused":
        real_service.resume(job_id)
    start_worker("--once")
    done = finished(real_service, job_id)
    assert resumed_at(real_service, done) == [last.step]
    assert facts_of(real_service, done) == undisturbed("shrinknets")


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_or_to_the_start(
    real_service: RealService,
    start_worker: StartWorker,
    undisturbed: Callable[[str], Facts],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    damaged: int,
) -> None:
    monkeypatch.setenv(VARIABLE, ALWAYS)
    job_id = real_service.submit(spec_of("fixed"))
    first = start_worker()
    with_checkpoints(real_service, job_id, 2)
    family = first.family()
    first.process.kill()
    assert all_gone(family)
    trial = the_trial(real_service, job_id)
    both = kept(real_service, trial)
    for one in both[:damaged]:
        path = tmp_path / "artifacts" / one.sha256[:2] / one.sha256[2:4] / one.sha256
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    start_worker("--once")
    done = finished(real_service, job_id)
    log = log_of(real_service, done)
    for one in both[:damaged]:
        assert f"the checkpoint of epoch {one.step} cannot be used" in log
    assert resumed_at(real_service, done) == [one.step for one in both[damaged:]]
    assert ("starts from the beginning" in log) == (damaged == 2)
    assert facts_of(real_service, done) == undisturbed("fixed")
