"""Trials that are killed, hang, take too long or can't go on; the search goes on."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from shrinknets.wire import JobSpec, JobState, Method, Trial, TrialState
from tests.service.arrays import npz, rows
from tests.worker.faults.conftest import expect_whole, forkserver_of
from tests.worker.real_processes import RealService, RealWorker, all_gone, wait_for
from worker.retries import MAX_LOSSES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

MakeSpec = Callable[..., JobSpec]
ENDLESS = {"epochs": 100_000, "batch_size": 64}


def next_process(
    service: RealService, worker: RealWorker, job_id: str, *, not_of: int = 0
) -> psutil.Process:
    """The process of the trial that runs, once it has told of an epoch."""
    wait_for(lambda: any(t.epochs for t in running(service, job_id)), seconds=180)

    def other() -> psutil.Process | None:
        return next((one for one in worker.trial_processes() if one.pid != not_of), None)

    return wait_for(other, seconds=180)


def running(service: RealService, job_id: str) -> list[Trial]:
    return [t for t in service.list_trials(job_id) if t.state is TrialState.RUNNING]


def test_a_killed_trial_is_tried_again_without_waiting_for_its_lease(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job_id = shared_service.submit(make_faulty())
    process = next_process(shared_service, shared_worker, job_id)
    process.kill()
    wait_for(lambda: "its process was killed by SIGKILL" in shared_worker.log, seconds=180)
    expect_whole(shared_service, shared_service.wait_until_final(job_id, seconds=240), trials=2)


def test_a_trial_that_is_killed_again_and_again_fails_and_the_search_goes_on(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job_id = shared_service.submit(make_faulty())
    pid = 0
    for _ in range(MAX_LOSSES + 1):
        process = next_process(shared_service, shared_worker, job_id, not_of=pid)
        pid = process.pid
        process.kill()
        assert all_gone([process])
    expect_whole(
        shared_service, shared_service.wait_until_final(job_id, seconds=240), trials=2, failed=1
    )
    assert "killed by SIGKILL" in shared_service.list_trials(job_id)[0].reason


def test_when_the_forkserver_is_killed_its_trials_start_again_at_once(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job_id = shared_service.submit(make_faulty())
    process = next_process(shared_service, shared_worker, job_id)
    server = forkserver_of(shared_worker)
    server.kill()
    assert all_gone([server, process])
    expect_whole(shared_service, shared_service.wait_until_final(job_id, seconds=240), trials=2)


def test_a_trial_that_hangs_is_ended_when_its_time_is_over(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    sizes = {"fixed": (2, 5000), "fixed_l2": (1, 8)}
    methods = {
        method: {
            "trials": 1,
            "depth": {"low": depth, "high": depth},
            "width": {"low": width, "high": width},
        }
        for method, (depth, width) in sizes.items()
    }
    # Its first epoch takes minutes, in which its lease is renewed all the while.
    job_id = shared_service.submit(
        make_faulty(
            network={"widths": (5000, 5000)},
            methods=methods,
            training={"epochs": 2, "batch_size": 2},
            trial_seconds=15.0,
        )
    )
    job = shared_service.wait_until_final(job_id, seconds=240)
    assert job.state is JobState.SUCCEEDED, job.reason
    ended = {trial.method: trial for trial in shared_service.list_trials(job_id)}
    assert ended[Method.FIXED].state is TrialState.FAILED
    assert ended[Method.FIXED].epochs == 0
    assert ended[Method.FIXED].reason.startswith("it took longer than the 15 s of trial_seconds")
    assert ended[Method.FIXED_L2].state is TrialState.COMPLETE
    assert shared_worker.trial_processes() == []


def test_a_trial_that_takes_too_long_ends_itself_and_keeps_its_epochs(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    spec = make_faulty(trials=1, training=ENDLESS, trial_seconds=6.0)
    job = shared_service.wait_until_final(shared_service.submit(spec), seconds=240)
    assert job.state is JobState.FAILED
    (trial,) = shared_service.list_trials(job.id)
    assert "it took longer than the 6 s of trial_seconds" in trial.reason
    assert trial.epochs > 0


def test_a_process_so_stuck_that_its_lease_ran_out_is_replaced(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job_id = shared_service.submit(make_faulty(trials=1))
    process = next_process(shared_service, shared_worker, job_id)
    process.suspend()
    expect_whole(shared_service, shared_service.wait_until_final(job_id, seconds=240), trials=1)
    assert all_gone([process])


def test_a_loss_that_is_no_number_fails_the_trial_and_the_search_goes_on(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    depths = {"fixed": 16, "fixed_l2": 1}
    methods: dict[str, Any] = {
        method: {
            "trials": 1,
            "depth": {"low": depth, "high": depth},
            "width": {"low": 64, "high": 64},
        }
        for method, depth in depths.items()
    }
    spec = make_faulty(
        network={"widths": (64,) * 16},
        methods=methods,
        training={"epochs": 10, "batch_size": 64, "lr": 10.0},
    )
    job = shared_service.wait_until_final(shared_service.submit(spec), seconds=240)
    assert job.state is JobState.SUCCEEDED
    ended = {trial.method: trial for trial in shared_service.list_trials(job.id)}
    assert ended[Method.FIXED].state is TrialState.FAILED
    assert ended[Method.FIXED].reason.startswith("DivergedError: the training loss became")
    assert ended[Method.FIXED_L2].state is TrialState.COMPLETE


def test_where_memory_runs_out_the_trial_goes_on_with_half_of_each_batch_and_says_so(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job = run_in_little_memory(shared_service, shared_worker, make_faulty, megabytes=350)
    (trial,) = shared_service.list_trials(job)
    assert trial.state is TrialState.COMPLETE, trial.reason
    assert trial.reason == "memory ran out at first: each batch was trained in 2 parts"


def test_where_half_of_a_batch_does_not_fit_either_the_trial_fails_with_advice(
    shared_service: RealService, shared_worker: RealWorker, make_faulty: MakeSpec
) -> None:
    job = run_in_little_memory(shared_service, shared_worker, make_faulty, megabytes=120)
    (trial,) = shared_service.list_trials(job)
    assert trial.state is TrialState.FAILED
    assert "and again with 2 parts of each" in trial.reason
    assert "lower training.batch_size or the widths" in trial.reason


def run_in_little_memory(
    service: RealService, worker: RealWorker, make_faulty: MakeSpec, *, megabytes: int
) -> str:
    """One trial whose process may take so much more memory than the forkserver has."""
    headers = {"Content-Type": "application/zip"}
    content = npz(**rows(3000))
    service.http.post("/datasets?name=many", content=content, headers=headers)
    wide = {"low": 20_000, "high": 20_000}
    spec = make_faulty(
        dataset="many",
        network={"widths": (20_000,)},
        methods={"fixed": {"trials": 1, "width": wide}},
        training={"epochs": 2, "batch_size": 2000},
    )
    wait_for(worker.process.children, seconds=180)
    server = forkserver_of(worker)
    limit = wait_for(lambda: data_bytes(server), seconds=180) + megabytes * 2**20
    # The limit goes over to the processes that are forked from now on.
    before = server.rlimit(psutil.RLIMIT_DATA)
    server.rlimit(psutil.RLIMIT_DATA, (limit, before[1]))
    try:
        return service.wait_until_final(service.submit(spec), seconds=240).id
    finally:
        server.rlimit(psutil.RLIMIT_DATA, before)


def data_bytes(process: psutil.Process) -> int:
    """VmData of a forkserver that has imported all it needs; 0 before."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kilobytes = next(int(line.split()[1]) for line in status if line.startswith("VmData"))
    return kilobytes * 1024 if process.status() == psutil.STATUS_SLEEPING else 0
