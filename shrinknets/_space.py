"""The space that a method searches, as ranges of its parameters."""

from collections.abc import Iterable
from dataclasses import dataclass

from shrinknets.wire import JobSpec, Method, Params
from shrinknets.wire.points import searched_of

_LOG = frozenset({"lam", "l2", "lr", "weight_decay"})
"""Parameters that are searched on a logarithmic scale, as the widths are."""


@dataclass(frozen=True, kw_only=True)
class Range:
    """What a number may be, both ends included."""

    low: float
    high: float
    is_whole: bool
    is_log: bool


def search_space(spec: JobSpec, method: Method) -> dict[str, Range]:
    """Return the ranges of all parameters that a method may propose, by name."""
    if method not in spec.methods.chosen():
        return {}
    return {
        name: Range(
            low=limits.low,
            high=limits.high,
            is_whole=limits.is_whole or bool(limits.choices),
            is_log=name in _LOG or name.startswith("width_"),
        )
        for name, limits in searched_of(spec, method).items()
    }


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
