"""What a trial is worth: the objectives of its job, and by how much it misses the limits."""

import math
from collections.abc import Sequence

from optuna.study import StudyDirection

from shrinknets.wire import (
    Constraints,
    Objective,
    ObjectiveKind,
    SizeMeasure,
    Trial,
)


def directions_of(objective: Objective) -> list[StudyDirection]:
    """One for each objective."""
    size = [StudyDirection.MINIMIZE] if objective.has_two else []
    return [StudyDirection.MAXIMIZE, *size]


def values_of(objective: Objective, trial: Trial) -> list[float] | None:
    """One number per objective; None where the trial reported too little for that."""
    size = trial.macs if objective.size is SizeMeasure.MACS else trial.parameters
    return values_at(objective, trial.validation_accuracy, size)


def values_at(objective: Objective, accuracy: float | None, size: int | None) -> list[float] | None:
    """The same of an accuracy (0 to 1) and a size; sizes count by their logarithm."""
    if accuracy is None:
        return None
    if objective.kind is ObjectiveKind.ACCURACY:
        return [accuracy]
    if size is None:
        return None
    magnitude = math.log10(max(size, 1))
    if objective.kind is ObjectiveKind.MIX:
        return [accuracy - objective.weight * magnitude]
    return [accuracy, magnitude]


def mean_of(values: Sequence[Sequence[float]]) -> list[float]:
    """Objective by objective."""
    return [math.fsum(column) / len(column) for column in zip(*values, strict=True)]


def violations_of(constraints: Constraints, trials: Sequence[Trial]) -> dict[str, float]:
    """By what share of a limit the trials miss it on average; not above 0 where they keep it."""
    sizes: dict[str, tuple[float | None, Sequence[float | None]]] = {
        "max_parameters": (constraints.max_parameters, [t.parameters for t in trials]),
        "max_macs": (constraints.max_macs, [t.macs for t in trials]),
        "max_latency_ms": (constraints.max_latency_ms, [t.latency_ms for t in trials]),
    }
    return {
        name: math.fsum(_excess(size, limit) for size in found) / len(found)
        for name, (limit, found) in sizes.items()
        if limit is not None
    }


def _excess(size: float | None, limit: float) -> float:
    # Of what was not measured nothing is known; it must not look feasible.
    return 1.0 if size is None else size / limit - 1.0
