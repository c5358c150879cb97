"""Whether fixed parameters and starting points lie in a method's search space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shrinknets.wire._base import WrongFieldError
from shrinknets.wire.network import MAX_LAYERS, MAX_WIDTH, MLP
from shrinknets.wire.states import Method

if TYPE_CHECKING:
    from shrinknets.wire.spec import FixedSearch, JobSpec, Search

LEAST_WIDTH = 4
"""Narrower than this no layer is searched, unless its bound or the job says so."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The values that a parameter may have, both ends included."""

    low: float
    high: float
    is_whole: bool = False
    choices: tuple[int, ...] = ()

    def holds(self, value: float) -> bool:
        if self.choices:
            return value in self.choices
        if self.is_whole and not isinstance(value, int):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        kind = "a whole number " if self.is_whole else ""
        return f"{kind}from {self.low:g} to {self.high:g}"


_TRAINING = {
    "lr": Limits(low=1e-12, high=10),
    "weight_decay": Limits(low=0, high=1),
    "batch_size": Limits(low=1, high=1_000_000, is_whole=True),
}


def check_points(spec: "JobSpec") -> None:
    """Raises WrongFieldError that names the first wrong value of `fix` or `start`."""
    for method in spec.methods.chosen():
        search = spec.methods.search_of(method)
        where = f"methods.{method.value}"
        _check_training(where, search)
        possible, searched = possible_of(spec, method), searched_of(spec, method)
        _check(f"{where}.fix", search.fix, possible)
        for name in search.fix:
            if name in _asked_for(search):
                raise WrongFieldError(
                    field=f"{where}.fix.{name}",
                    given=search.fix[name],
                    allowed=f"nothing where {where}.{name} is searched",
                )
        for place, point in enumerate(getattr(search, "start", ())):
            _check(f"{where}.start.{place}", point, searched)


def possible_of(spec: "JobSpec", method: Method) -> dict[str, Limits]:
    """All parameters that trials of the method can have, with the values that make sense."""
    match method:
        case Method.PATH:
            own = {}
        case Method.SHRINKNETS:
            own = {"lam": Limits(low=1e-12, high=1e6)}
        case Method.FIXED:
            own = _sizes(spec)
        case Method.FIXED_L2:
            own = {**_sizes(spec), "l2": Limits(low=1e-12, high=1e6)}
    return {**own, **_TRAINING}


def searched_of(spec: "JobSpec", method: Method) -> dict[str, Limits]:
    """The parameters that the method's search proposes, with their ranges."""
    search = spec.methods.search_of(method)
    found = {} if method is Method.PATH else _ranges(search)
    if method in {Method.FIXED, Method.FIXED_L2}:
        found = {**_searched_sizes(spec, search), **found}  # type: ignore[arg-type]
    return {name: limits for name, limits in found.items() if name not in search.fix}


def _check_training(where: str, search: "Search") -> None:
    """Ranges of training parameters are narrower than others can be."""
    for name in ("lr", "weight_decay"):
        limits, range_ = _TRAINING[name], getattr(search, name, None)
        if range_ is not None and range_.high > limits.high:
            raise WrongFieldError(
                field=f"{where}.{name}.high", given=range_.high, allowed=f"at most {limits.high:g}"
            )
    choices = getattr(search, "batch_size", ())
    if len(set(choices)) < len(choices):
        raise WrongFieldError(
            field=f"{where}.batch_size", given=list(choices), allowed="each number once"
        )


def _check(where: str, point: Mapping[str, float], limits: Mapping[str, Limits]) -> None:
    for name, value in point.items():
        if name not in limits:
            names = ", ".join(limits) or "no parameters"
            raise WrongFieldError(field=f"{where}.{name}", given=value, allowed=names)
        if not limits[name].holds(value):
            raise WrongFieldError(field=f"{where}.{name}", given=value, allowed=str(limits[name]))


def _asked_for(search: "Search") -> set[str]:
    """Parameters whose search was asked for by name."""
    asked = {name for name in ("lr", "weight_decay", "depth") if getattr(search, name, None)}
    return asked | ({"batch_size"} if getattr(search, "batch_size", ()) else set())


def _ranges(search: "Search") -> dict[str, Limits]:
    found = {}
    for name in ("lam", "l2", "lr", "weight_decay"):
        if (limits := getattr(search, name, None)) is not None:
            found[name] = Limits(low=limits.low, high=limits.high)
    if choices := getattr(search, "batch_size", ()):
        found["batch_size"] = Limits(low=min(choices), high=max(choices), choices=choices)
    return found


def _bounds(spec: "JobSpec") -> tuple[int, ...]:
    """Of the family's layers; as many as there can be, and as wide, where nobody knows yet."""
    return spec.network.widths or (MAX_WIDTH,) * MAX_LAYERS


def _sizes(spec: "JobSpec") -> dict[str, Limits]:
    bounds = _bounds(spec)
    widths = {
        f"width_{layer}": Limits(low=1, high=bound, is_whole=True)
        for layer, bound in enumerate(bounds)
    }
    return {"depth": Limits(low=1, high=len(bounds), is_whole=True), **widths}


def _searched_sizes(spec: "JobSpec", search: "FixedSearch") -> dict[str, Limits]:
    bounds = _bounds(spec)
    low, high = (search.depth.low, search.depth.high) if search.depth else (1, len(bounds))
    found = {"depth": Limits(low=low, high=high, is_whole=True)}
    layers = bounds[:high] if spec.network.family == MLP else bounds
    for layer, bound in enumerate(layers):
        low, high = min(LEAST_WIDTH, bound), bound
        if search.width is not None:
            low, high = search.width.low, search.width.high
        found[f"width_{layer}"] = Limits(low=low, high=high, is_whole=True)
    return found
