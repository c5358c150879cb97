"""Whole jobs on a real Ray cluster, and what becomes of them when its nodes die."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shrinknets.wire import (
    FixedSearch,
    JobSpec,
    JobState,
    Methods,
    PathRun,
    Trial,
    TrialLog,
    TrialState,
)
from tests.worker.ray_cluster import TOKEN, RayCluster, RayNode
from tests.worker.real_processes import PATIENCE, RealService, RealWorker, all_gone, wait_for

pytest.importorskip("ray", reason="needs the extra [ray]")
pytestmark = pytest.mark.slow

MakeSpec = Callable[..., JobSpec]
StartWorker = Callable[..., RealWorker]
WHOLE_NODE = {"SHRINKNETS_WORKER_RAY_GPUS_PER_TRIAL": "2"}
LONG = {"epochs": 250, "batch_size": 64}
ENDLESS = {"epochs": 100_000, "batch_size": 64}


@pytest.fixture(scope="module")
def real_service(
    ray_cluster: RayCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealService]:
    folder = tmp_path_factory.mktemp("service")
    service = RealService(folder, attempt_lease_seconds=60.0)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def start_worker(
    ray_cluster: RayCluster,
    real_service: RealService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[StartWorker]:
    workers = []

    def start(*options: str, **variables: str) -> RealWorker:
        defaults = {
            "RAY_AUTH_TOKEN": TOKEN,
            "SHRINKNETS_WORKER_RAY_GPUS_PER_TRIAL": "0.5",
            "SHRINKNETS_WORKER_RAY_PYTHON": ray_cluster.python,
            "SHRINKNETS_WORKER_RAY_CACHE": str(tmp_path / "cache of the nodes"),
        }
        for name, value in {**defaults, **variables}.items():
            monkeypatch.setenv(name, value)
        cluster = ("--engine", "ray", "--ray-address", ray_cluster.address)
        workers.append(RealWorker(real_service.url, tmp_path, *cluster, *options))
        return workers[-1]

    yield start
    for worker in workers:
        sys.stderr.write(worker.log)  # shown where the test failed
        if worker.process.is_running():
            worker.process.terminate()
            worker.process.wait(60)
        worker.kill()


def some_fixed(trials: int) -> Methods:
    return Methods(fixed=FixedSearch(trials=trials))


def trial_processes(node: RayNode) -> list[psutil.Process]:
    return [one for one in node.processes() if "worker.trial" in " ".join(command(one))]


def command(process: psutil.Process) -> list[str]:
    try:
        # That of the shell that Ray starts ends in the same words.
        return process.cmdline() if process.name() != "sh" else []
    except psutil.Error:
        return []


def log_of(service: RealService, trial: Trial) -> TrialLog:
    answer = service.http.get(f"/trials/{trial.id}/logs").raise_for_status()
    return TrialLog.model_validate_json(answer.content)


def wait_until_all_report(service: RealService, job_id: str, number: int) -> list[Trial]:
    def look() -> list[Trial] | None:
        trials = [t for t in service.list_trials(job_id) if t.state is TrialState.RUNNING]
        return trials if sum(t.epochs > 0 for t in trials) == number else None

    return wait_for(look, seconds=PATIENCE)


def test_a_job_runs_to_its_end_on_shares_of_cards_and_its_logs_arrive(
    ray_cluster: RayCluster,
    real_service: RealService,
    start_worker: StartWorker,
    make_spec: MakeSpec,
) -> None:
    methods = Methods(path=PathRun(trials=1), fixed=FixedSearch(trials=2))
    job_id = real_service.submit(make_spec(methods=methods))
    worker = start_worker("--once", "--slots", "3")
    job = real_service.wait_until_final(job_id, seconds=240)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, ""), worker.log
    trials = real_service.list_trials(job_id)
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.INFEASIBLE}
    assert worker.process.wait(60) == 0
    for trial in trials:
        (attempt,) = log_of(real_service, trial).attempts
        assert "Running entrypoint for job attempt-" in attempt.text
        assert f"{trial.method} {trial.number} of digits" in attempt.text
    assert "ERROR" not in worker.log
    assert TOKEN not in worker.log + ray_cluster.logs()


def test_a_cancelled_job_leaves_no_process_on_the_cluster_within_seconds(
    ray_cluster: RayCluster,
    real_service: RealService,
    start_worker: StartWorker,
    make_spec: MakeSpec,
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(2), training=ENDLESS))
    start_worker()
    wait_until_all_report(real_service, job_id, 2)
    processes = trial_processes(ray_cluster.head) + trial_processes(ray_cluster.second)
    assert len(processes) == 2
    real_service.cancel(job_id)
    job = real_service.wait_until_final(job_id, seconds=60)
    assert job.state is JobState.CANCELLED
    assert all_gone(processes)
    assert {t.state for t in real_service.list_trials(job_id)} == {TrialState.CANCELLED}


def test_a_killed_worker_leaves_its_job_to_the_next_and_no_process(
    ray_cluster: RayCluster,
    real_service: RealService,
    start_worker: StartWorker,
    make_spec: MakeSpec,
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(1), training=ENDLESS))
    first = start_worker()
    (trial,) = wait_until_all_report(real_service, job_id, 1)
    (process,) = trial_processes(ray_cluster.head) + trial_processes(ray_cluster.second)
    first.kill()
    second = start_worker()
    wait_for(lambda: len(log_of(real_service, trial).attempts) == 2, seconds=120)
    assert all_gone([process])
    wait_until_all_report(real_service, job_id, 1)
    real_service.cancel(job_id)
    assert real_service.wait_until_final(job_id, seconds=60).state is JobState.CANCELLED
    assert "Traceback" not in second.log


def test_a_worker_with_a_wrong_token_ends_with_what_to_do(start_worker: StartWorker) -> None:
    worker = start_worker(RAY_AUTH_TOKEN="wrong")
    assert worker.process.wait(60) == 1
    assert "refuses the token: Forbidden" in worker.log
    assert "RAY_AUTH_TOKEN" in worker.log
    assert "Traceback" not in worker.log


def test_trials_of_a_node_that_dies_go_on_elsewhere(
    ray_cluster: RayCluster,
    real_service: RealService,
    start_worker: StartWorker,
    make_spec: MakeSpec,
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(2), training=LONG))
    worker = start_worker("--slots", "2", **WHOLE_NODE)
    wait_until_all_report(real_service, job_id, 2)
    assert len(trial_processes(ray_cluster.second)) == 1
    ray_cluster.second.kill()
    job = real_service.wait_until_final(job_id, seconds=600)
    assert job.state is JobState.SUCCEEDED, worker.log
    trials = real_service.list_trials(job_id)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    states = [[a.state for a in log_of(real_service, trial).attempts] for trial in trials]
    assert min(map(len, states)) == 1
    assert all(attempts.count("ended") == 1 for attempts in states)
    assert any("lost" in attempts for attempts in states)
    ray_cluster.start_second()


def test_what_runs_on_while_the_head_is_dead_is_not_given_up_and_the_rest_waits_for_another(
    ray_cluster: RayCluster,
    real_service: RealService,
    start_worker: StartWorker,
    make_spec: MakeSpec,
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(3), training=LONG))
    worker = start_worker("--slots", "2", **WHOLE_NODE)
    wait_until_all_report(real_service, job_id, 2)
    assert len(trial_processes(ray_cluster.second)) == 1
    ray_cluster.head.kill()
    wait_for(lambda: "does not answer" in worker.log, seconds=60)
    (survivor,) = real_service.wait_for_trials(job_id, TrialState.COMPLETE, 1)
    # Waiting for the head costs no attempts.
    trials = real_service.list_trials(job_id)
    assert sum(len(log_of(real_service, trial).attempts) for trial in trials) == 2
    ray_cluster.restart_head()
    job = real_service.wait_until_final(job_id, seconds=600)
    assert job.state is JobState.SUCCEEDED, worker.log
    assert "answers again" in worker.log
    trials = real_service.list_trials(job_id)
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    for trial in trials:
        states = [attempt.state for attempt in log_of(real_service, trial).attempts]
        assert states.count("ended") == 1
        assert trial.id != survivor.id or len(states) == 1
