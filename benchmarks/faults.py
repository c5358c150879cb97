"""Time lost per fault: how much longer a job takes when something is killed in its middle.

A job of equal trials runs on a real service (PostgreSQL for the database's fault, SQLite for all
others) with real workers, one trial at a time in one thread: once undisturbed, then once for each
fault. What stays away comes back after AWAY_SECONDS, which are part of the time lost. Leases are
those of an installation: 15 s for a job, 60 s for a trial.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from shrinknets.wire import Job, JobSpec, JobState
from tests.postgres import PostgresServer, running_postgres
from tests.worker.real_processes import RealService, RealWorker, wait_for

AWAY_SECONDS = 5.0
PATIENCE = 600.0


@dataclass
class Scene:
    """All that can be harmed."""

    service: RealService
    worker: RealWorker
    postgres: PostgresServer


def nothing(scene: Scene) -> None:
    """The job runs undisturbed."""


def trial(scene: Scene) -> None:
    """SIGKILL of a trial."""
    scene.worker.trial_processes()[0].kill()


def forkserver(scene: Scene) -> None:
    """SIGKILL of the process that forks trials."""
    scene.worker.process.children()[0].kill()


def worker(scene: Scene) -> None:
    """SIGKILL of the worker while another waits for jobs."""
    scene.worker.process.kill()


def service(scene: Scene) -> None:
    """SIGKILL of the service, which comes back."""
    scene.service.kill()
    time.sleep(AWAY_SECONDS)
    scene.service.start()


def database(scene: Scene) -> None:
    """SIGKILL of the database server, which comes back."""
    scene.postgres.kill()
    time.sleep(AWAY_SECONDS)
    scene.postgres.start()


def run(
    fault: Callable[[Scene], None], postgres: PostgresServer, spec: JobSpec, *, on_postgres: bool
) -> float:
    """Seconds from the claim of a job to its end."""
    name = f"{fault.__name__}_{time.monotonic_ns()}"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        url = postgres.create_durable(name) if on_postgres else None
        served = RealService(place, database_url=url, job_lease_seconds=15)
        stack.callback(served.kill)
        one_thread = {"SHRINKNETS_WORKER_THREADS": "1"}
        workers = []
        for _ in range(2 if fault is worker else 1):
            workers.append(RealWorker(served.url, place, "--slots", "1", variables=one_thread))
            stack.callback(workers[-1].kill)
            wait_for(lambda: "for jobs" in workers[-1].log, seconds=PATIENCE)
            wait_for(workers[-1].process.children, seconds=PATIENCE)
        job_id = served.submit(spec)
        wait_for(lambda: any(t.epochs for t in served.list_trials(job_id)), seconds=PATIENCE)
        (holder,) = [one for one in workers if job_id in one.log]
        fault(Scene(served, holder, postgres))
        job = wait_for(lambda: _ended(served, job_id), seconds=PATIENCE)
        assert job.state is JobState.SUCCEEDED, job.reason
        assert job.started_at is not None
        assert job.ended_at is not None
        return (job.ended_at - job.started_at).total_seconds()


def _ended(served: RealService, job_id: str) -> Job | None:
    answer = served.http.get(f"/jobs/{job_id}", timeout=60)
    job = served.get_job(job_id) if answer.is_success else None
    return job if job is not None and job.state.is_final else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=600)
    options = parser.parse_args()
    spec = JobSpec.model_validate(
        {
            "dataset": "digits",
            "network": {"widths": [32]},
            "methods": {"fixed": {"trials": 3, "width": {"low": 32, "high": 32}}},
            "training": {"epochs": options.epochs},
        }
    )
    print("| what was killed | seconds lost (median) | all |\n| --- | --- | --- |")
    with running_postgres() as postgres:
        for fault in (trial, forkserver, worker, service, database):
            on_postgres = fault is database
            lost = []
            for _ in range(options.rounds):
                calm = run(nothing, postgres, spec, on_postgres=on_postgres)
                lost.append(run(fault, postgres, spec, on_postgres=on_postgres) - calm)
            words = (fault.__doc__ or "").rstrip(".")
            shown = " ".join(f"{seconds:.1f}" for seconds in lost)
            print(f"| {words} | {statistics.median(lost):.1f} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
