"""Trials per hour with two slots against one, one thread each, and what epochs cost the training.

A job of equal trials runs on a real service with a real worker, with one slot and with two in turn.
The efficiency is throughput(2) / (2 · throughput(1)); each trial starts anew, so starts count. The
bar is 0.9 on two cores that have nothing else to do.

With --records: the same training once for itself and once with a reporter that hands its epochs to
a real service, in turn; the median of the ratios. The bar is 1.01.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from shrinknets import Client
from shrinknets.wire import ClaimRequest, JobSpec, Method, TrialRequest
from shrinknets_core import EpochRecord, TrainOptions, load_dataset, train_fixed
from tests.worker.real_processes import RealService
from worker.leases import AttemptLease, JobLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.reporter import Reporter
from worker.trial.training import to_record


def trials_per_hour(slots: int, *, trials: int, epochs: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "shrinknets", "serve", "--port", "0", "--device", "cpu"]
        with (Path(folder) / "log").open("w") as log:
            server = subprocess.Popen(
                [*command, "--data-dir", folder, "--slots", str(slots)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, "SHRINKNETS_WORKER_THREADS": "1"},
            )
        assert server.stdout is not None
        with server, Client(server.stdout.readline().split()[-1]) as client:
            how = {"dataset": "digits", "methods": ["fixed"], "widths": [64]}
            # The first job waits for the forkserver.
            client.submit(**how, trials=slots, training={"epochs": 2}).wait(progress=False)
            methods = {"fixed": {"trials": trials, "width": {"low": 64, "high": 64}}}
            job = client.submit(**(how | {"methods": methods}), training={"epochs": epochs})
            info = job.wait(progress=False).info
            server.terminate()
        assert info.started_at is not None
        assert info.ended_at is not None
        return 3600 * trials / (info.ended_at - info.started_at).total_seconds()


def compare_slots(*, trials: int, epochs: int, rounds: int) -> None:
    one, two = [], []
    for number in range(rounds):
        one.append(trials_per_hour(1, trials=trials, epochs=epochs))
        two.append(trials_per_hour(2, trials=trials, epochs=epochs))
        print(f"round {number + 1}: {one[-1]:.0f} and {two[-1]:.0f} trials per hour", flush=True)
    efficiency = [b / (2 * a) for a, b in zip(one, two, strict=True)]
    print(f"one slot: {statistics.median(one):.0f} trials per hour")
    print(f"two slots: {statistics.median(two):.0f} trials per hour")
    print(f"efficiency: {statistics.median(efficiency):.2f}")


def train(epochs: int, reporter: Reporter | None) -> float:
    """Seconds for the epochs of one small network, which last some 10 ms each."""
    split = load_dataset("digits", seed=0)
    events = train_fixed(split, widths=(64,), options=TrainOptions(epochs=epochs))
    started = time.perf_counter()
    for event in events:
        if reporter is not None and isinstance(event, EpochRecord):
            reporter.report(to_record(event))
    return time.perf_counter() - started


def compare_records(*, epochs: int, rounds: int) -> None:
    torch.set_num_threads(1)
    spec = JobSpec.model_validate(
        {"dataset": "digits", "methods": {"fixed": {"trials": 1}}, "training": {"epochs": epochs}}
    )
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        service = RealService(Path(folder))
        with ServiceClient(service.url, patience=Patience(seconds=10)) as client:
            for _ in range(rounds):
                service.submit(spec)
                claim = client.claim(ClaimRequest(worker="benchmark", wait_seconds=10))
                assert claim is not None
                request = TrialRequest(
                    method=Method.FIXED, number=0, params={"depth": 1, "width_0": 64}, seed=1
                )
                attempt = (lease := JobLease(client, claim)).start_attempt(
                    lease.announce(request).id
                )
                plain = train(epochs, None)
                own = AttemptLease(client, attempt.id, attempt.token)
                reporter = Reporter(own, give_up=lambda code, reason: sys.exit(f"{code} {reason}"))
                ratios.append(train(epochs, reporter) / plain)
                reporter.flush()
        service.http.close()
        service.kill()
    rounded = " ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"with epochs handed in / without: {statistics.median(ratios):.3f}  ({rounded})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Only to see that it runs.")
    parser.add_argument("--records", action="store_true", help="Measure what epochs cost instead.")
    options = parser.parse_args()
    if options.records:
        compare_records(epochs=50 if options.quick else 300, rounds=2 if options.quick else 9)
    elif options.quick:
        compare_slots(trials=4, epochs=30, rounds=1)
    else:
        compare_slots(trials=20, epochs=300, rounds=3)


if __name__ == "__main__":
    main()
