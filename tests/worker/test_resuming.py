"""Processes of trials that are killed at any time, and others that go on: nothing is different."""

import logging
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from service.store import Store, checkpoints
from shrinknets.wire import (
    Attempt,
    AttemptEnd,
    CheckpointFile,
    ClaimRequest,
    ExportFormat,
    JobEnd,
    JobSpec,
    JobState,
    Method,
    Network,
    Page,
    Params,
    Record,
    Trial,
    TrialRequest,
    TrialState,
)
from tests.worker.real_processes import RealService, wait_for
from worker.leases import AttemptLease, JobLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.run import run_attempt

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks"),
]

Facts = tuple[list[dict[str, Any]], list[dict[str, Any]]]
ALWAYS, NEVER = 0.0, 1000.0
PARAMS: dict[Method, Params] = {
    Method.SHRINKNETS: {"lam": 0.01},
    Method.PATH: {},
    Method.FIXED: {"depth": 2, "width_0": 9, "width_1": 5},
}


class Site:
    """The real service, and trials in forked processes, as an engine starts them."""

    def __init__(self, service: RealService, folder: Path) -> None:
        self.service = service
        self.client = ServiceClient(service.url, patience=Patience(seconds=60))
        self._folder = folder
        self._fork = multiprocessing.get_context("fork")
        self.processes: list[ForkProcess] = []

    def begin(self, method: Method, spec: JobSpec) -> tuple[JobLease, Trial]:
        """Submit a job, claim it and announce its trial."""
        self.service.submit(spec)
        claim = self.client.claim(ClaimRequest(worker="tester"))
        assert claim is not None
        lease = JobLease(self.client, claim)
        request = TrialRequest(method=method, number=0, params=PARAMS[method], seed=1)
        # Nobody renews: what takes longer here is no fault.
        return lease, lease.announce(request)

    def start(
        self, job: JobLease, trial: Trial, *, every_seconds: float
    ) -> tuple[Attempt, ForkProcess]:
        attempt = job.start_attempt(trial.id)
        process = self._fork.Process(target=self._train, args=(attempt, every_seconds))
        process.start()
        self.processes.append(process)
        return attempt, process

    def log_of(self, attempt: Attempt) -> str:
        file = self._folder / f"{attempt.id}.log"
        return file.read_text() if file.exists() else ""

    def kept(self, trial: Trial) -> list[CheckpointFile]:
        with Store(self.service.database_url) as store, store.reading() as tx:
            return checkpoints.list_checkpoints(tx, trial.id)

    def state(self, trial: Trial) -> TrialState:
        return self.client.get_trial(trial.id).state

    def facts(self, trial: Trial) -> Facts:
        """Records but for their seconds, networks but for their ids; digests tell of weights."""
        path = f"/trials/{trial.id}/epochs?limit=1000"
        answer = self.service.http.get(path).raise_for_status()
        records = Page[Record].model_validate_json(answer.content).items
        path = f"/trials/{trial.id}/networks?limit=1000"
        answer = self.service.http.get(path).raise_for_status()
        networks = Page[Network].model_validate_json(answer.content).items
        return (
            [record.model_dump(exclude={"seconds"}) for record in records],
            [one.model_dump(exclude={"id", "job_id", "trial_id"}) for one in networks],
        )

    def lose(self, attempt: Attempt) -> None:
        """What the service does when the lease of a killed process runs out."""
        AttemptLease(self.client, attempt.id, attempt.token).end(
            AttemptEnd(state=TrialState.WAITING, reason="lost")
        )

    def _train(self, attempt: Attempt, every_seconds: float) -> None:
        output = os.open(self._folder / f"{attempt.id}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        logging.basicConfig(level=logging.INFO, force=True, stream=sys.__stderr__)
        with ServiceClient(self.service.url, patience=Patience(seconds=60)) as client:
            lease = AttemptLease(client, attempt.id, attempt.token)
            run_attempt(lease, give_up=give_up, checkpoint_seconds=every_seconds)


def give_up(code: int, reason: str) -> None:
    sys.stderr.write(f"{reason}\n")
    os._exit(code)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("service")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    service = RealService(folder, job_lease_seconds=3600)
    site = Site(service, folder)
    yield site
    for process in site.processes:
        process.kill()
        process.join()
    site.client.close()
    service.http.close()
    service.kill()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def undisturbed(site: Site) -> Callable[[Method], Facts]:
    """The records and networks of a trial that nothing disturbed."""

    @cache
    def run(method: Method) -> Facts:
        job, trial = site.begin(method, spec_of(method))
        _, process = site.start(job, trial, every_seconds=NEVER)
        process.join()
        assert site.state(trial) is TrialState.COMPLETE
        job.release(JobEnd(state=JobState.SUCCEEDED))
        return site.facts(trial)

    return run


def spec_of(method: Method, **changes: Any) -> JobSpec:
    # Of many steps, so that an epoch takes longer than what is asked of the service for it.
    training = {"epochs": 4 if method is Method.PATH else 12, "batch_size": 8}
    fields = {
        "dataset": "digits",
        "network": {"widths": [16, 8]},
        "methods": {method.value: {} if method is Method.PATH else {"trials": 1}},
        "training": training,
        "seed": 3,
    }
    return JobSpec.model_validate({**fields, **changes})


def killed_after(site: Site, number: int, job: JobLease, trial: Trial) -> Attempt:
    """An attempt whose process was killed once there were so many checkpoints."""
    attempt, process = site.start(job, trial, every_seconds=ALWAYS)

    def look() -> bool:
        assert process.is_alive(), site.log_of(attempt)
        return len(site.kept(trial)) >= number

    wait_for(look, seconds=300)
    process.kill()
    process.join()
    assert site.state(trial) is TrialState.RUNNING, "it was over too soon for this test"
    site.lose(attempt)
    return attempt


def resumed_at(site: Site, attempt: Attempt) -> list[int]:
    found = re.findall(r"goes on from the checkpoint of epoch (\d+)", site.log_of(attempt))
    return [int(step) for step in found]


@pytest.mark.parametrize("method", PARAMS)
def test_a_killed_trial_goes_on_and_ends_as_if_nothing_had_happened(
    site: Site, undisturbed: Callable[[Method], Facts], method: Method
) -> None:
    expected = undisturbed(method)
    job, trial = site.begin(method, spec_of(method))
    killed_after(site, 2, job, trial)
    newest = site.kept(trial)[0].step
    heir, process = site.start(job, trial, every_seconds=ALWAYS)
    process.join()
    assert site.state(trial) is TrialState.COMPLETE, site.log_of(heir)
    assert resumed_at(site, heir) == [newest]
    assert site.facts(trial) == expected
    assert site.kept(trial) == []
    job.release(JobEnd(state=JobState.SUCCEEDED))


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_or_to_the_start(
    site: Site,
    undisturbed: Callable[[Method], Facts],
    damaged: int,
) -> None:
    expected = undisturbed(Method.FIXED)
    job, trial = site.begin(Method.FIXED, spec_of(Method.FIXED))
    killed_after(site, 2, job, trial)
    both = site.kept(trial)
    for one in both[:damaged]:
        path = site.service.artifacts / one.sha256[:2] / one.sha256[2:4] / one.sha256
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    heir, process = site.start(job, trial, every_seconds=ALWAYS)
    process.join()
    assert site.state(trial) is TrialState.COMPLETE, site.log_of(heir)
    for one in both[:damaged]:
        assert f"the checkpoint of epoch {one.step} cannot be used" in site.log_of(heir)
    assert resumed_at(site, heir) == [one.step for one in both[damaged:]]
    assert ("starts from the beginning" in site.log_of(heir)) == (damaged == 2)
    assert site.facts(trial) == expected
    job.release(JobEnd(state=JobState.SUCCEEDED))


@pytest.mark.parametrize("how", ["SIGTERM", "pause"])
def test_a_trial_that_is_stopped_in_order_does_no_epoch_twice(
    site: Site, undisturbed: Callable[[Method], Facts], how: str
) -> None:
    expected = undisturbed(Method.SHRINKNETS)
    job, trial = site.begin(Method.SHRINKNETS, spec_of(Method.SHRINKNETS))
    attempt, process = site.start(job, trial, every_seconds=NEVER)
    wait_for(lambda: site.client.get_trial(trial.id).epochs >= 1, seconds=300)
    if how == "SIGTERM":
        os.kill(process.pid or 0, signal.SIGTERM)
    else:
        site.service.pause(trial.job_id)
    process.join()
    assert process.exitcode == 0, site.log_of(attempt)
    assert site.state(trial) is TrialState.WAITING
    (last,) = site.kept(trial)
    if how == "pause":
        site.service.resume(trial.job_id)
    heir, process = site.start(job, trial, every_seconds=NEVER)
    process.join()
    assert resumed_at(site, heir) == [last.step]
    assert site.facts(trial) == expected
    job.release(JobEnd(state=JobState.SUCCEEDED))


def test_networks_that_were_found_before_are_exported_too(site: Site) -> None:
    spec = spec_of(Method.PATH, exports=[ExportFormat.PT2])
    job, trial = site.begin(Method.PATH, spec)
    attempt, process = site.start(job, trial, every_seconds=ALWAYS)
    wait_for(lambda: "network " in site.log_of(attempt) and bool(site.kept(trial)), seconds=300)
    process.kill()
    process.join()
    site.lose(attempt)
    heir, process = site.start(job, trial, every_seconds=NEVER)
    process.join()
    assert site.state(trial) is TrialState.COMPLETE, site.log_of(heir)
    _, networks = site.facts(trial)
    exported = [export for network in networks for export in network["exports"]]
    assert exported
    assert all(export["sha256"] for export in exported), exported
    job.release(JobEnd(state=JobState.SUCCEEDED))
