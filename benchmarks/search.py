"""What a search costs its driver: ask + tell, memory, and rebuilding it from the service's trials.

Proposals of TPE over depth, widths and an L2 penalty, with made-up accuracies; no service, no
training. CPU time of this process, so that others on the machine count less.
"""

import argparse
import os
import platform
import resource
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna

from shrinknets.wire import JobSpec, Trial, TrialRequest, TrialState
from worker.search import JobSearch
from worker.seeds import derive_seed

START = datetime(2026, 1, 1, tzinfo=UTC)
SHOWN = 50
"""Proposals that a figure is the median of."""


def spec_of(sampler: str, trials: int) -> JobSpec:
    return JobSpec.model_validate(
        {
            "dataset": "digits",
            "network": {"widths": [256, 256]},
            "methods": {"fixed_l2": {"trials": trials}},
            "sampler": sampler,
        }
    )


def ended(request: TrialRequest) -> Trial:
    score = derive_seed(0, request.method, request.number, purpose="score") % 1000 / 1000
    fields: dict[str, Any] = {
        **request.model_dump(),
        "id": f"trial-{request.number}",
        "job_id": "job",
        "state": TrialState.COMPLETE,
        "reason": "",
        "epochs": 60,
        "train_seconds": 1.0,
        "validation_accuracy": score,
        "widths": [8, 8],
        "parameters": 1000,
        "macs": 900,
        "created_at": START,
        "started_at": START,
        "ended_at": START + timedelta(seconds=request.number),
    }
    return Trial(**fields)


def drawn(trials: int) -> list[Trial]:
    """Trials as a random search would have left them."""
    search = JobSearch(spec_of("random", trials))
    return [ended(request) for _ in range(trials) if (request := search.propose()) is not None]


def measure(sampler: str, known: list[Trial]) -> None:
    trials = len(known)
    began = time.process_time()
    search = JobSearch(spec_of(sampler, trials + SHOWN), known)
    rebuild = time.process_time() - began
    costs = []
    for _ in range(SHOWN if sampler != "gp" else 5):
        began = time.process_time()
        request = search.propose()
        assert request is not None
        search.tell(ended(request))
        costs.append(1e3 * (time.process_time() - began))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cost = statistics.median(costs)
    print(f"| {sampler} | {trials:,} | {cost:.1f} | {rebuild:.1f} | {memory:.0f} |", flush=True)


def bare_optuna(trials: int) -> float:
    """Milliseconds of ask + tell as Optuna does it by itself, at so many trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=0, multivariate=True)
    )
    space = {
        "depth": optuna.distributions.IntDistribution(1, 2),
        "width_0": optuna.distributions.IntDistribution(4, 256, log=True),
        "l2": optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True),
    }
    random = optuna.samplers.RandomSampler(seed=0)
    tpe, study.sampler = study.sampler, random
    for number in range(trials):
        study.tell(study.ask(space), number % 97 / 97)
    study.sampler = tpe
    costs = []
    for number in range(SHOWN):
        began = time.process_time()
        study.tell(study.ask(space), number % 97 / 97)
        costs.append(1e3 * (time.process_time() - began))
    return statistics.median(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args()
    # Not as the others describe it: that imports torch, which the driver does not.
    print(f"{platform.machine()} with {os.cpu_count()} cores, Python {platform.python_version()}")
    if options.sampler == "tpe":
        print(f"bare Optuna at {options.trials:,}: {bare_optuna(options.trials):.1f} ms")
    print("| sampler | trials | ask + tell, ms | rebuild, s | memory, MiB |")
    measure(options.sampler, drawn(options.trials))


if __name__ == "__main__":
    main()
