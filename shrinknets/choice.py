"""Chooses the network of a job among those of its search."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shrinknets.limits import keeping, least_violating, missed_in_words
from shrinknets.wire import ChoiceRule, ChoiceSpec, Constraints

_ROUNDING = 1e-9
"""Differences of shares round: a network that is exactly so far below the best still counts."""


class Sized(Protocol):
    """What limits look at."""

    @property
    def parameters(self) -> int: ...

    @property
    def macs(self) -> int: ...

    @property
    def validation_accuracy(self) -> float: ...


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the choice knows of a network. How it does on the test rows is not among it."""

    id: str
    parameters: int
    macs: int
    latency_ms: float | None = None
    validation_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which network was chosen, and why.

    Attributes:
        id: of the chosen network.
        most_accurate_id: of those that meet all limits, or `id` where none does.
        is_feasible: whether it meets all limits.
        reason: in words.
        standard_error: of the most accurate one's accuracy; None where the rows are not known.
    """

    id: str
    most_accurate_id: str
    is_feasible: bool
    reason: str
    num_candidates: int
    validation_rows: int | None
    standard_error: float | None


def choose(
    candidates: Iterable[Candidate],
    spec: ChoiceSpec,
    *,
    validation_rows: int | None,
    limits: Constraints | None = None,
) -> Verdict | None:
    """Choose a network by the rule; None where there is none. Of equals the first is chosen.

    Where the job has limits, only networks that keep them are chosen among, or if none does, the
    one that misses them least is taken.

    Raises:
        ValueError: the rule asks for the standard error, and the validation rows are not known.
    """
    found = list(candidates)
    if not found:
        return None
    if limits is not None and not limits.is_empty:
        kept = keeping(found, limits)
        if not kept:
            return _least_violating(found, limits, validation_rows)
        found = kept
    fitting = [one for one in found if meets_limits(one, spec)]
    best = _most_accurate(fitting) if fitting else _closest(found, spec)
    error = None if validation_rows is None else standard_error(best, validation_rows)
    chosen, reason = best, f"none {limits_in_words(spec)}: this one comes closest"
    if fitting:
        chosen, reason = _by_rule(fitting, best, spec, error)
    return Verdict(
        id=chosen.id,
        most_accurate_id=best.id,
        is_feasible=bool(fitting),
        reason=f"of {_networks(len(found))} {reason}",
        num_candidates=len(found),
        validation_rows=validation_rows,
        standard_error=error,
    )


def _least_violating(
    found: Sequence[Candidate], limits: Constraints, validation_rows: int | None
) -> Verdict:
    least = least_violating(found, limits)
    assert least is not None
    return Verdict(
        id=least.id,
        most_accurate_id=least.id,
        is_feasible=False,
        reason=f"of {_networks(len(found))} none keeps the job's limits: this one misses them "
        f"least, with {missed_in_words(least, limits)}",
        num_candidates=len(found),
        validation_rows=validation_rows,
        standard_error=None if validation_rows is None else standard_error(least, validation_rows),
    )


def standard_error(candidate: Candidate, validation_rows: int) -> float:
    """Return the binomial standard error √(p(1−p)/n) of a validation accuracy."""
    share = candidate.validation_accuracy
    return math.sqrt(share * (1 - share) / validation_rows)


def meets_limits(network: Sized, spec: ChoiceSpec) -> bool:
    """Return whether a network meets all limits."""
    return _violation(network, spec) <= 0


def limits_in_words(spec: ChoiceSpec, *, several: bool = False) -> str:
    """Return what a network has, or several have, that meets the limits; empty without limits."""
    limits = [
        *([] if spec.max_parameters is None else [f"at most {spec.max_parameters:,} parameters"]),
        *([] if spec.max_macs is None else [f"at most {spec.max_macs:,} MACs"]),
        *(
            []
            if spec.min_validation_accuracy is None
            else [f"at least {spec.min_validation_accuracy:.2%} on validation"]
        ),
    ]
    return f"{'have' if several else 'has'} {' and '.join(limits)}" if limits else ""


def nearest_in_words(networks: Sequence[Sized], spec: ChoiceSpec) -> str:
    """Return for each limit what comes nearest to it; empty without networks or limits."""
    if not networks:
        return ""
    parameters = min(one.parameters for one in networks)
    macs = min(one.macs for one in networks)
    accuracy = max(one.validation_accuracy for one in networks)
    return " and ".join(
        [
            *(
                []
                if spec.max_parameters is None
                else [f"the smallest has {parameters:,} parameters"]
            ),
            *([] if spec.max_macs is None else [f"the fewest MACs are {macs:,}"]),
            *(
                []
                if spec.min_validation_accuracy is None
                else [f"the most accurate has {accuracy:.2%} on validation"]
            ),
        ]
    )


def _by_rule(
    fitting: Sequence[Candidate], best: Candidate, spec: ChoiceSpec, error: float | None
) -> tuple[Candidate, str]:
    whose = (
        f", {len(fitting):,} of which {limits_in_words(spec, several=True)}"
        if limits_in_words(spec)
        else ""
    )
    match spec.rule:
        case ChoiceRule.VALIDATION:
            return best, f"the most accurate on validation{whose}"
        case ChoiceRule.SMALLEST:
            return _smallest(fitting), f"the smallest{whose}"
        case ChoiceRule.ONE_STANDARD_ERROR:
            if error is None:
                raise ValueError("the standard error needs the number of validation rows")
            enough = best.validation_accuracy - error - _ROUNDING
            good = [one for one in fitting if one.validation_accuracy >= enough]
            within = f"{100 * error:.2f} points, one standard error,"
            return _smallest(good), (
                f"the smallest of {len(good):,} within {within} of the most accurate"
                f" ({best.validation_accuracy:.2%} on validation){whose}"
            )


def _most_accurate(candidates: Sequence[Candidate]) -> Candidate:
    return min(candidates, key=lambda one: (-one.validation_accuracy, *_size(one)))


def _smallest(candidates: Sequence[Candidate]) -> Candidate:
    return min(candidates, key=lambda one: (*_size(one), -one.validation_accuracy))


def _closest(candidates: Sequence[Candidate], spec: ChoiceSpec) -> Candidate:
    return min(candidates, key=lambda one: (_violation(one, spec), -one.validation_accuracy))


def _size(candidate: Candidate) -> tuple[int, int]:
    return candidate.parameters, candidate.macs


def _violation(candidate: Sized, spec: ChoiceSpec) -> float:
    """By how much it misses the limits, as shares of them added up; 0 if it meets all."""
    missed = 0.0
    if spec.max_parameters is not None:
        missed += max(0.0, candidate.parameters / spec.max_parameters - 1)
    if spec.max_macs is not None:
        missed += max(0.0, candidate.macs / spec.max_macs - 1)
    if spec.min_validation_accuracy is not None:
        lacking = spec.min_validation_accuracy - candidate.validation_accuracy
        if lacking > _ROUNDING:
            missed += lacking / spec.min_validation_accuracy
    return missed


def _networks(number: int) -> str:
    return "1 network" if number == 1 else f"{number:,} networks"
