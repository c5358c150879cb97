"""Databases, services and workers that are killed or frozen while a job runs."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shrinknets.wire import Job, JobSpec, TrialState
from tests.postgres import running_postgres
from tests.worker.faults.conftest import expect_whole, start_worker, stop_in_order
from tests.worker.real_processes import (
    PATIENCE,
    RealService,
    all_gone,
    wait_for,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]

MakeSpec = Callable[..., JobSpec]
AWAY_SECONDS = 5.0


def test_a_database_server_that_was_killed_comes_back_and_nothing_is_lost(
    make_faulty: MakeSpec, tmp_path: Path
) -> None:
    with running_postgres() as postgres:
        service = RealService(tmp_path, database_url=postgres.create_durable("faulty"))
        worker = start_worker(service, tmp_path)
        try:
            job_id = service.submit(make_faulty(trials=4))
            service.wait_for_trials(job_id, TrialState.COMPLETE, 1)
            before = {
                trial.id: trial for trial in service.list_trials(job_id) if trial.state.is_final
            }
            postgres.kill()
            assert service.http.get(f"/jobs/{job_id}").status_code == 503
            time.sleep(AWAY_SECONDS)
            postgres.start()
            job = wait_for(lambda: find_ended(service, job_id), seconds=PATIENCE)
            expect_whole(service, job, trials=4)
            after = {trial.id: trial for trial in service.list_trials(job_id)}
            assert {trial_id: after[trial_id] for trial_id in before} == before
        finally:
            stop_in_order(worker)
            service.http.close()
            service.kill()


def find_ended(service: RealService, job_id: str) -> Job | None:
    """None too while the database is away."""
    answer = service.http.get(f"/jobs/{job_id}")
    job = Job.model_validate_json(answer.content) if answer.is_success else None
    return job if job is not None and job.state.is_final else None


def test_a_service_that_was_killed_gets_the_epochs_that_trials_kept_for_it(
    make_faulty: MakeSpec, tmp_path: Path
) -> None:
    service = RealService(tmp_path)
    worker = start_worker(service, tmp_path)
    try:
        job_id = service.submit(make_faulty(trials=1, training={"epochs": 300, "batch_size": 64}))
        wait_for(lambda: any(t.epochs for t in service.list_trials(job_id)), seconds=PATIENCE)
        (process,) = worker.trial_processes()
        service.kill()
        time.sleep(AWAY_SECONDS)
        assert process.is_running(), "it trains on"
        service.start()
        job = service.wait_until_final(job_id, seconds=PATIENCE)
        expect_whole(service, job, trials=1, epochs=300)
        assert "; again" not in worker.log
    finally:
        stop_in_order(worker)
        service.http.close()
        service.kill()


def test_a_frozen_worker_finds_its_job_done_by_another(
    make_faulty: MakeSpec, tmp_path: Path
) -> None:
    service = RealService(tmp_path)
    frozen = start_worker(service, tmp_path)
    workers = [frozen]
    try:
        job_id = service.submit(make_faulty(trials=3))
        service.wait_for_trials(job_id, TrialState.COMPLETE, 1)
        frozen.process.suspend()
        zombies = frozen.trial_processes()
        for zombie in zombies:
            zombie.suspend()
        workers.append(start_worker(service, tmp_path))
        job = service.wait_until_final(job_id, seconds=PATIENCE)
        expect_whole(service, job, trials=3)
        before = service.list_trials(job_id)
        for zombie in zombies:
            zombie.resume()
        frozen.process.resume()
        wait_for(lambda: "lost its lease" in frozen.log, seconds=PATIENCE)
        assert all_gone(zombies)
        assert service.list_trials(job_id) == before
        assert service.get_job(job_id) == job
    finally:
        for worker in workers:
            stop_in_order(worker)
        service.http.close()
        service.kill()


def test_two_workers_at_the_edge_between_jobs_do_each_job_once(
    make_faulty: MakeSpec, tmp_path: Path
) -> None:
    service = RealService(tmp_path, job_lease_seconds=60)
    workers = [start_worker(service, tmp_path) for _ in range(2)]
    try:
        for worker in workers:
            wait_for(lambda worker=worker: "for jobs" in worker.log, seconds=PATIENCE)
        short = make_faulty(trials=1, training={"epochs": 2, "batch_size": 256})
        job_ids = [service.submit(short) for _ in range(8)]
        for job_id in job_ids:
            job = service.wait_until_final(job_id, seconds=PATIENCE)
            expect_whole(service, job, trials=1, epochs=2)
        claims = [line for worker in workers for line in worker.log.splitlines()]
        for job_id in job_ids:
            assert sum(f"{job_id}: claimed" in line for line in claims) == 1
    finally:
        for worker in workers:
            stop_in_order(worker)
        service.http.close()
        service.kill()


JUMPING_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>

static long jump(long second) { return second / 2 % 2 ? 86400 : -86400; }

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int status = real(clock, now);
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) now->tv_sec += jump(now->tv_sec);
    return status;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_a_worker_whose_clock_jumps_by_days_keeps_its_leases(
    make_faulty: MakeSpec, tmp_path: Path
) -> None:
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(JUMPING_CLOCK)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"],
        check=True,
    )
    variables = {"LD_PRELOAD": str(library)}
    times = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    )
    assert abs(float(times.stdout) - time.time()) > 80_000
    service = RealService(tmp_path, job_lease_seconds=60)
    worker = start_worker(service, tmp_path, **variables)
    try:
        # Through several jumps there and back, of which any is longer than all leases.
        spec = make_faulty(trials=2)
        job = service.wait_until_final(service.submit(spec), seconds=PATIENCE)
        expect_whole(service, job, trials=2)
        assert "lost its lease" not in worker.log
        assert "; again" not in worker.log
        assert job.started_at is not None
        assert job.ended_at is not None
        assert abs((job.ended_at - job.started_at).total_seconds()) < 1000
    finally:
        stop_in_order(worker)
        service.http.close()
        service.kill()
