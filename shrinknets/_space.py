"""The space that a method searches, as ranges of its parameters."""

from collections.abc import Iterable
from dataclasses import dataclass

from shrinknets.wire import FixedSearch, JobSpec, LogRange, Method, Params

LEAST_WIDTH = 4
"""Of a layer, where the job names no range of widths and the layer's bound allows it."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a number may be, both ends included."""

    low: float
    high: float
    is_whole: bool
    is_log: bool


def search_space(spec: JobSpec, method: Method) -> dict[str, Range]:
    """Return the ranges of all parameters that a method may propose, by name."""
    methods = spec.methods
    match method:
        case Method.SHRINKNETS if methods.shrinknets is not None:
            return {"lam": _log_range(methods.shrinknets.lam)}
        case Method.FIXED if methods.fixed is not None:
            return _sizes(spec, methods.fixed)
        case Method.FIXED_L2 if methods.fixed_l2 is not None:
            return {**_sizes(spec, methods.fixed_l2), "l2": _log_range(methods.fixed_l2.l2)}
        case _:
            return {}


def widened(space: dict[str, Range], proposed: Iterable[Params]) -> dict[str, Range]:
    """Return ranges that hold everything that was proposed, starting points outside of them too.

    A number under a name that the space does not know has the range of its values.
    """
    values: dict[str, list[float]] = {}
    for params in proposed:
        for name, value in params.items():
            if isinstance(value, int | float):
                values.setdefault(name, []).append(value)
    return {name: _around(space.get(name), seen) for name, seen in values.items()}


def _around(known: Range | None, values: list[float]) -> Range:
    is_whole = all(isinstance(value, int) for value in values)
    if known is None:
        return Range(low=min(values), high=max(values), is_whole=is_whole, is_log=False)
    return Range(
        low=min(known.low, *values),
        high=max(known.high, *values),
        is_whole=known.is_whole and is_whole,
        is_log=known.is_log and min(values) > 0,
    )


def _sizes(spec: JobSpec, search: FixedSearch) -> dict[str, Range]:
    bounds = spec.network.widths
    low, high = (search.depth.low, search.depth.high) if search.depth else (1, len(bounds))
    ranges = {"depth": Range(low=low, high=high, is_whole=True, is_log=False)}
    for layer, bound in enumerate(bounds[:high]):
        low, high_width = min(LEAST_WIDTH, bound), bound
        if search.width is not None:
            low, high_width = search.width.low, search.width.high
        ranges[f"width_{layer}"] = Range(low=low, high=high_width, is_whole=True, is_log=True)
    return ranges


def _log_range(limits: LogRange) -> Range:
    return Range(low=limits.low, high=limits.high, is_whole=False, is_log=True)
