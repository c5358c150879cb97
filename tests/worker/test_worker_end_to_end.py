"""Whole jobs with the real service, real workers and real training."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.access.keyring import CACHE_SECONDS
from service.store import Store, keys
from shrinknets.wire import (
    FixedSearch,
    JobSpec,
    JobState,
    Method,
    Methods,
    Network,
    Page,
    PathRun,
    Role,
    Trial,
    TrialState,
)
from tests.service.arrays import images, npz
from tests.service.guarded import make_key
from tests.worker.real_processes import (
    LEASE_SECONDS,
    PATIENCE,
    RealService,
    RealWorker,
    all_gone,
    find_free_port,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]

MakeSpec = Callable[..., JobSpec]
StartWorker = Callable[..., RealWorker]
ENDLESS = {"epochs": 100_000, "batch_size": 64}


def some_fixed(trials: int) -> Methods:
    return Methods(fixed=FixedSearch(trials=trials))


def by_number(trials: list[Trial]) -> dict[tuple[Method, int], Trial]:
    return {(trial.method, trial.number): trial for trial in trials}


def test_a_job_runs_through_with_two_trials_at_once_and_the_worker_leaves_nothing(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    spec = make_spec(training={"epochs": 20, "batch_size": 64})
    job_id = real_service.submit(spec)
    worker = start_worker("--once", "--name", "tester")
    running = real_service.wait_for_trials(job_id, TrialState.RUNNING, 2)
    family = worker.family()
    assert len({trial.method for trial in running}) == 2
    job = real_service.wait_until_final(job_id)
    assert (job.state, job.reason) == (JobState.SUCCEEDED, "")
    trials = real_service.list_trials(job_id)
    assert len(trials) == len(by_number(trials)) == sum(spec.methods.chosen().values())
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.INFEASIBLE}
    answer = real_service.http.get(f"/jobs/{job_id}/networks")
    networks = Page[Network].model_validate_json(answer.content).items
    assert {network.method for network in networks} >= {Method.PATH, Method.FIXED}
    assert real_service.http.get(f"/networks/{networks[0].id}/weights").is_success
    assert worker.process.wait(60) == 0
    assert all_gone(family)


def test_trials_share_a_fetched_data_set_and_need_no_key_for_it(
    real_service: RealService, make_spec: MakeSpec, tmp_path: Path
) -> None:
    headers = {"Content-Type": "application/zip"}
    content = npz(**images(120))
    answer = real_service.http.post("/datasets?name=own", content=content, headers=headers)
    assert answer.is_success, answer.text
    with Store(real_service.database_url) as store:
        submitter = make_key(store, Role.SUBMITTER)[1]
        worker_key = make_key(store, Role.WORKER)[1]
    real_service.http.headers["Authorization"] = f"Bearer {submitter}"
    time.sleep(CACHE_SECONDS)
    job_id = real_service.submit(make_spec(dataset="own", methods=some_fixed(4)))
    worker = RealWorker(real_service.url, tmp_path, "--once", api_key=worker_key)
    try:
        assert real_service.wait_until_final(job_id).state is JobState.SUCCEEDED
    finally:
        worker.kill()
    (cached,) = (tmp_path / "cache" / "datasets").glob("*.npz")
    assert cached.read_bytes() == content


@pytest.mark.alone
def test_a_cancelled_job_stops_within_two_seconds_and_leaves_no_process(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    job_id = real_service.submit(make_spec(training=ENDLESS))
    worker = start_worker()
    real_service.wait_for_trials(job_id, TrialState.RUNNING, 2)
    processes = worker.wait_for_trial_processes(2)
    wait_for(lambda: all(t.epochs for t in real_service.list_trials(job_id)), seconds=PATIENCE)
    started = time.monotonic()
    real_service.cancel(job_id)
    job = real_service.wait_until_final(job_id)
    seconds = time.monotonic() - started
    assert job.state is JobState.CANCELLED
    assert all_gone(processes, seconds=0)
    assert seconds < 2
    assert {t.state for t in real_service.list_trials(job_id)} == {TrialState.CANCELLED}
    again = real_service.submit(make_spec(methods=Methods(path=PathRun())))
    assert real_service.wait_until_final(again).state is JobState.SUCCEEDED


def test_a_paused_job_lets_go_of_its_worker_and_goes_on_when_resumed(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    spec = make_spec(methods=some_fixed(3), training={"epochs": 600, "batch_size": 64})
    job_id = real_service.submit(spec)
    worker = start_worker()
    real_service.wait_for_trials(job_id, TrialState.RUNNING, 2)
    processes = worker.wait_for_trial_processes(2)
    wait_for(lambda: any(t.epochs for t in real_service.list_trials(job_id)), seconds=PATIENCE)
    real_service.pause(job_id)
    wait_for(lambda: real_service.get_job(job_id).state is JobState.PAUSED, seconds=PATIENCE)
    assert all_gone(processes, seconds=0)
    assert real_service.get_job(job_id).worker is None
    unfinished = {t.state for t in real_service.list_trials(job_id) if not t.state.is_final}
    assert unfinished == {TrialState.WAITING}
    other = real_service.submit(make_spec(methods=Methods(path=PathRun())))
    assert real_service.wait_until_final(other).state is JobState.SUCCEEDED
    assert real_service.get_job(job_id).state is JobState.PAUSED
    real_service.resume(job_id)
    assert real_service.wait_until_final(job_id).state is JobState.SUCCEEDED
    trials = real_service.list_trials(job_id)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 3
    assert {trial.epochs for trial in trials} == {600}
    assert worker.log.count("lost its lease") == 0


def test_the_crashed_trials_of_a_failed_job_are_tried_again(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    spec = make_spec(methods=some_fixed(4), training={"epochs": 8, "batch_size": 64})
    job_id = real_service.submit(spec)
    worker = start_worker("--slots", "1")
    for number in range(1, 4):
        (process,) = worker.wait_for_trial_processes(1)
        process.send_signal(signal.SIGSEGV)
        real_service.wait_for_trials(job_id, TrialState.FAILED, number)
    assert real_service.wait_until_final(job_id).state is JobState.FAILED
    assert real_service.retry_failed(job_id).state is JobState.QUEUED
    assert real_service.wait_until_final(job_id).state is JobState.SUCCEEDED
    trials = real_service.list_trials(job_id)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4


def test_a_killed_service_comes_back_and_the_job_goes_on_with_nothing_lost(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    spec = make_spec(methods=some_fixed(12), training={"epochs": 30, "batch_size": 32})
    job_id = real_service.submit(spec)
    worker = start_worker()
    before = by_number(real_service.wait_for_trials(job_id, TrialState.COMPLETE, 2))
    real_service.kill()
    time.sleep(1)
    real_service.start()
    job = real_service.wait_until_final(job_id)
    assert job.state is JobState.SUCCEEDED
    after = by_number(real_service.list_trials(job_id))
    assert len(after) == 12
    assert {key: after[key] for key in before} == before
    assert {trial.state for trial in after.values()} == {TrialState.COMPLETE}
    assert worker.log.count("does not answer") == worker.log.count("answers again") == 1


def test_another_worker_takes_over_when_one_is_killed(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    spec = make_spec(methods=some_fixed(8), training={"epochs": 60, "batch_size": 32})
    job_id = real_service.submit(spec)
    first = start_worker("--name", "first")
    before = by_number(real_service.wait_for_trials(job_id, TrialState.COMPLETE, 1))
    family = first.family()
    first.process.kill()
    assert all_gone(family)
    start_worker("--name", "second")
    job = real_service.wait_until_final(job_id)
    assert job.state is JobState.SUCCEEDED
    after = by_number(real_service.list_trials(job_id))
    assert len(after) == 8
    assert {key: after[key] for key in before} == before
    assert {trial.state for trial in after.values()} == {TrialState.COMPLETE}


def test_a_worker_that_is_told_to_stop_gives_its_job_back(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    job_id = real_service.submit(make_spec(training=ENDLESS))
    worker = start_worker()
    worker.wait_for_trial_processes(2)
    family = worker.family()
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    assert real_service.get_job(job_id).state is JobState.QUEUED
    assert {t.state for t in real_service.list_trials(job_id)} == {TrialState.WAITING}
    assert all_gone(family)


def test_a_worker_whose_lease_was_lost_stops_the_trials_and_lives_on(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(1), training=ENDLESS))
    frozen = start_worker("--name", "frozen")
    (zombie,) = frozen.wait_for_trial_processes(1)
    frozen.process.suspend()
    time.sleep(LEASE_SECONDS)
    other = start_worker("--name", "other")
    wait_for(lambda: real_service.get_job(job_id).worker == "other", seconds=PATIENCE)
    assert all_gone([zombie]), "the trial itself sees that it lost its lease"
    frozen.process.resume()
    wait_for(lambda: "lost its lease" in frozen.log, seconds=PATIENCE)
    other.wait_for_trial_processes(1)
    assert frozen.trial_processes() == []
    assert frozen.process.poll() is None
    real_service.cancel(job_id)
    assert real_service.wait_until_final(job_id).state is JobState.CANCELLED


def test_three_crashed_trials_in_a_row_fail_the_job_in_words(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    job_id = real_service.submit(make_spec(methods=some_fixed(10), training=ENDLESS))
    worker = start_worker("--slots", "1")
    for number in range(1, 4):
        (process,) = worker.wait_for_trial_processes(1)
        process.send_signal(signal.SIGSEGV)
        real_service.wait_for_trials(job_id, TrialState.FAILED, number)
    job = real_service.wait_until_final(job_id)
    assert job.state is JobState.FAILED
    assert "3 trials in a row failed; the last, fixed 2: its process was killed" in job.reason
    assert "SIGSEGV" in job.reason


def test_a_job_without_any_network_fails_in_words(
    real_service: RealService, start_worker: StartWorker, make_spec: MakeSpec
) -> None:
    lam = {"low": 1000.0, "high": 1000.0}
    methods = Methods.model_validate({"shrinknets": {"trials": 2, "lam": lam}})
    spec = make_spec(methods=methods, training={"epochs": 20})
    job_id = real_service.submit(spec)
    start_worker("--once", "--slots", "1")
    job = real_service.wait_until_final(job_id)
    assert job.state is JobState.FAILED
    assert job.reason.startswith("no trial gave a network; the last, shrinknets 1: collapsed")


def test_with_keys_a_worker_shows_its_own_and_its_trials_none(
    real_service: RealService, tmp_path: Path, make_spec: MakeSpec
) -> None:
    with Store(real_service.database_url) as store:
        _, submitter_key = make_key(store, Role.SUBMITTER)
        worker_id, worker_key = make_key(store, Role.WORKER)
        time.sleep(CACHE_SECONDS)
        real_service.http.headers["Authorization"] = f"Bearer {submitter_key}"
        job_id = real_service.submit(make_spec(methods=some_fixed(1)))
        for key, words in {
            "": "This service wants an API key",
            "sn_wrong": "unknown here, revoked or expired",
            submitter_key: "needs the role worker or admin",
            "no key": "SHRINKNETS_API_KEY: Value error, must be one word",
        }.items():
            refused = RealWorker(real_service.url, tmp_path, api_key=key)
            assert refused.process.wait(60) == (2 if key == "no key" else 1)
            assert words in refused.log
            assert "Traceback" not in refused.log
            assert not key or key not in refused.log
        worker = RealWorker(real_service.url, tmp_path, "--slots", "1", api_key=worker_key)
        try:
            job = real_service.wait_until_final(job_id)
            assert job.state is JobState.SUCCEEDED
            endless = real_service.submit(make_spec(methods=some_fixed(1), training=ENDLESS))
            (trial,) = worker.wait_for_trial_processes(1)
            assert "SHRINKNETS_API_KEY" not in trial.environ()
            with store.writing() as tx:
                keys.revoke_key(tx, worker_id)
            assert worker.process.wait(60) == 1
            assert "revoked" in worker.log
            assert all_gone([trial])
            wait_for(
                lambda: real_service.get_job(endless).state is JobState.QUEUED, seconds=PATIENCE
            )
        finally:
            worker.kill()
        assert worker_key not in worker.log


def test_a_worker_without_a_service_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    worker = RealWorker(f"http://127.0.0.1:{find_free_port()}", tmp_path)
    wait_for(lambda: "waiting until it is back" in worker.log, seconds=PATIENCE)
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.wait(60) == 0
    assert worker.log.count("does not answer") == 1


@pytest.mark.parametrize(
    "options", [["--slots", "0"], ["--slots", "many"], ["--url", "localhost:8000"], ["--name", ""]]
)
def test_bad_options_end_the_worker_with_status_2(tmp_path: Path, options: list[str]) -> None:
    worker = RealWorker("http://127.0.0.1:8000", tmp_path, *options)
    assert worker.process.wait(60) == 2
    assert options[0] in worker.log
