"""The JSON body of a job, out of what people say of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from shrinknets import wire

Kind = str | Mapping[str, Any] | None
"""Of several kinds of something: its name, or a mapping with its `kind` and options."""


def job_body(
    *,
    dataset: str | None,
    methods: str | Sequence[str] | Mapping[str, Mapping[str, Any]],
    family: str | None,
    widths: int | Sequence[int] | None,
    trials: int | None,
    training: Mapping[str, Any] | None,
    sampler: str | None,
    pruner: Kind,
    objective: Kind,
    constraints: Mapping[str, float] | None,
    budget: Mapping[str, float] | None,
    repeats: int | None,
    terminator: Kind,
    warm_start: Sequence[str],
    trial_seconds: float | None,
    exports: Sequence[str],
    choice: Mapping[str, Any] | None,
    seed: int,
    name: str,
) -> dict[str, Any]:
    """As `Client.submit` describes the arguments; what was not said is left to the service."""
    names = [methods] if isinstance(methods, str) else methods
    options = names if isinstance(names, Mapping) else {method: {} for method in names}
    optional = {
        "dataset": dataset,
        "network": _network(family, widths),
        "training": None if training is None else dict(training),
        "sampler": sampler,
        "pruner": _kind(pruner),
        "objective": _kind(objective),
        "constraints": None if constraints is None else dict(constraints),
        "budget": None if budget is None else dict(budget),
        "repeats": repeats,
        "terminator": _kind(terminator),
        "warm_start": list(warm_start) or None,
        "trial_seconds": None if trial_seconds is None else float(trial_seconds),
        "exports": list(exports) or None,
        "choice": None if choice is None else dict(choice),
    }
    return {
        "methods": {method: _with_trials(method, own, trials) for method, own in options.items()},
        "seed": seed,
        "name": name,
        **{field: value for field, value in optional.items() if value is not None},
    }


def _network(family: str | None, widths: int | Sequence[int] | None) -> dict[str, Any] | None:
    layers = [widths] if isinstance(widths, int) else widths
    network = {"family": family, "widths": None if layers is None else list(layers)}
    return {name: value for name, value in network.items() if value is not None} or None


def _kind(given: Kind) -> dict[str, Any] | None:
    if given is None:
        return None
    return {"kind": given} if isinstance(given, str) else dict(given)


def _with_trials(method: str, options: Mapping[str, Any], trials: int | None) -> dict[str, Any]:
    if trials is None or method == wire.Method.PATH:
        return dict(options)
    return {"trials": trials, **options}
