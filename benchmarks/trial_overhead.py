"""Everything around training, per trial: process start, claim, ask, tell, records, uploads.

A job of many very short trials (2 epochs on 113 rows) runs on a real service with a real worker,
once on SQLite and once on PostgreSQL. What a trial costs beyond its training is

    slots · (time from the job's start to its end) / trials − mean training seconds.

Loading the data, evaluation and the final save count as overhead here. The time from a trial's
start to its first step is that from its attempt to the event of its first epoch, less that epoch.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import httpx

from shrinknets import Client, Job
from shrinknets.wire import Event
from tests.postgres import running_postgres


def overhead_ms(job: Job, slots: int) -> float:
    started, ended = job.info.started_at, job.info.ended_at
    assert started is not None
    assert ended is not None
    trials = job.trials()
    wall = (ended - started).total_seconds()
    training = statistics.mean(trial.train_seconds for trial in trials)
    return 1000 * (slots * wall / len(trials) - training)


def first_step_ms(client: Client, job: Job) -> list[float]:
    """Of each trial, from the events of an ended job."""
    first: dict[str, datetime] = {}
    url = f"{client.url}/api/v1/jobs/{job.id}/events?after=0"
    # The stream of a job that has ended stays open: silence is its end.
    with suppress(httpx.ReadTimeout), httpx.stream("GET", url, timeout=2) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:") and '"records"' in line:
                event = Event.model_validate_json(line.removeprefix("data:"))
                first.setdefault(event.trial_id or "", event.at)
    return [
        1000 * ((first[trial.id] - trial.started_at).total_seconds() - job.epochs(trial)[0].seconds)
        for trial in job.trials()
        if trial.started_at is not None and trial.id in first
    ]


def measure(name: str, database_url: str | None, *, trials: int, slots: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database = {"SHRINKNETS_DATABASE_URL": database_url} if database_url else {}
        migrate = {"SHRINKNETS_MIGRATE_ON_START": "true"}
        command = [sys.executable, "-m", "shrinknets", "serve", "--port", "0"]
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(
                [*command, "--data-dir", folder, "--slots", str(slots)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **database, **migrate},
            )
        assert server.stdout is not None
        with server, Client(server.stdout.readline().split()[-1]) as client:
            results, starts = [], []
            for _ in range(rounds + 1):
                job = client.submit(
                    dataset="wine",
                    methods=["fixed"],
                    widths=[16],
                    trials=trials,
                    training={"epochs": 2},
                )
                results.append(overhead_ms(job.wait(progress=False), slots))
                starts += first_step_ms(client, job)
            server.terminate()
        rounded = " ".join(f"{result:.0f}" for result in results[1:])
        median = statistics.median(results[1:])
        print(f"{name:<11} {slots} at once: {median:6.0f} ms per trial  ({rounded})")
        print(f"{'':<11} start to first step: {statistics.median(starts):6.0f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    common = {"trials": options.trials, "rounds": options.rounds}
    with running_postgres() as postgres:
        for slots in (1, 2):
            measure("SQLite", None, slots=slots, **common)
            url = postgres.create(f"overhead{slots}")
            measure("PostgreSQL", url, slots=slots, **common)


if __name__ == "__main__":
    main()
