"""What a search costs its driver: ask + tell, memory, and rebuilding it from the service's trials.

With made-up accuracies; no service, no training. CPU time of this process, so that others on the
machine count less.
"""

import argparse
import os
import platform
import resource
import statistics
import time
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import optuna

from shrinknets.wire import JobSpec, Trial, TrialRequest, TrialState
from worker.search import JobSearch, suggest
from worker.seeds import derive_seed

START = datetime(2026, 1, 1, tzinfo=UTC)
RANGE = {"low": 1e-5, "high": 1e-1}
SHOWN = 50
"""Proposals that a figure is the median of."""


SPACES: dict[str, Any] = {
    "floats": {"shrinknets": {"lr": RANGE, "weight_decay": RANGE}},
    "sizes": {"fixed_l2": {}},
}
"""Three real numbers; depth, two widths and a real number."""


def spec_of(sampler: str, space: str, trials: int) -> JobSpec:
    ((method, options),) = SPACES[space].items()
    return JobSpec.model_validate(
        {
            "dataset": "digits",
            "network": {"widths": [256, 256]},
            "methods": {method: {**options, "trials": trials}},
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


def drawn(space: str, trials: int) -> list[Trial]:
    """Trials as a random search would have left them."""
    search = JobSearch(spec_of("random", space, trials))
    return [ended(request) for _ in range(trials) if (request := search.propose()) is not None]


def measure(sampler: str, space: str, known: list[Trial]) -> None:
    trials = len(known)
    began = time.process_time()
    search = JobSearch(spec_of(sampler, space, trials + SHOWN), known)
    rebuild = time.process_time() - began
    costs = []
    for _ in range(SHOWN if sampler != "gp" else 5):
        began = time.process_time()
        request = search.propose()
        assert request is not None
        search.tell(ended(request))
        costs.append(1e3 * (time.process_time() - began))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    bare = bare_optuna(space, known) if sampler == "tpe" else 0.0
    cost = statistics.median(costs)
    row = (sampler, space, f"{trials:,}", f"{cost:.1f}", f"{bare:.1f}", f"{rebuild:.1f}")
    print(f"| {' | '.join(row)} | {memory:.0f} |", flush=True)


def bare_optuna(space: str, known: list[Trial]) -> float:
    """Milliseconds of ask + tell as Optuna does it by itself, with the same trials known."""
    spec = spec_of("tpe", space, len(known) + SHOWN)
    (method,) = spec.methods.chosen()
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=0, multivariate=True, group=True),
    )
    for trial in known:
        fixed = optuna.trial.FixedTrial(dict(trial.params))
        suggest(fixed, spec, method)
        study.add_trial(
            optuna.trial.create_trial(
                value=trial.validation_accuracy,
                params=fixed.params,
                distributions=fixed.distributions,
            )
        )
    costs = []
    for number in range(SHOWN):
        began = time.process_time()
        asked = study.ask()
        suggest(asked, spec, method)
        study.tell(asked, number % 97 / 97)
        costs.append(1e3 * (time.process_time() - began))
    return statistics.median(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sampler", default="tpe")
    parser.add_argument("--space", choices=SPACES, default="floats")
    parser.add_argument("--trials", type=int, default=1000)
    options = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    # Not as the others describe it: that imports torch, which the driver does not.
    print(f"{platform.machine()} with {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| sampler | space | trials | ask + tell, ms | bare Optuna, ms | rebuild, s | MiB |")
    measure(options.sampler, options.space, drawn(options.space, options.trials))


if __name__ == "__main__":
    main()
