"""How large the largest network of a job could get, and how long its trials would train."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from shrinknets.wire import MLP, FixedSearch, JobSubmission, Method, Plan


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a data set asks of a network's ends."""

    features: int
    classes: int

    @classmethod
    def of(cls, input_shape: Sequence[int], num_classes: int) -> Self:
        """Of a data set; images are flattened."""
        return cls(features=math.prod(input_shape), classes=num_classes)


@dataclass(frozen=True, kw_only=True, order=True)
class Size:
    """How large a network is, biases included."""

    parameters: int
    macs: int


def plan_of(submission: JobSubmission, shape: Shape, pace: Mapping[Method, float]) -> Plan:
    """What the submission would become, on data of this shape.

    `pace` has seconds for each epoch that a job asks for, of the methods that are known.
    """
    chosen, family = submission.methods.chosen(), submission.network.family
    size = largest_size(submission, shape) if family == MLP else None
    unknown = [method for method in chosen if method not in pace]
    # What follows the choice trains networks whose size stays as it is.
    at_the_end = pace.get(Method.FIXED, pace.get(Method.RETRAIN))
    if submission.choice.num_trials > 0 and at_the_end is None:
        unknown.append(Method.RETRAIN)
    final = 0.0 if at_the_end is None else at_the_end * _final_epochs(submission)
    return Plan(
        spec=submission.spec(),
        labels=submission.labels,
        priority=submission.priority,
        total_trials=submission.total_trials,
        largest_parameters=None if size is None else size.parameters,
        largest_macs=None if size is None else size.macs,
        training_seconds=None if unknown else _seconds(submission, pace) + final,
        unknown_because=" ".join(
            why
            for why in (
                "" if size else f"The size: only workers can count networks of {family!r}.",
                _why_time_is_unknown(unknown, submission),
            )
            if why
        ),
    )


def _seconds(submission: JobSubmission, pace: Mapping[Method, float]) -> float:
    planned = submission.trials_of_methods()
    trials = sum(pace[method] * num_trials for method, num_trials in planned.items())
    # A budget of trials ends all methods at about the same share, as they take turns.
    share = submission.search_trials / sum(planned.values())
    return trials * submission.training.epochs * share


def _final_epochs(submission: JobSubmission) -> int:
    choice = submission.choice
    epochs = choice.retrain_epochs or submission.training.epochs
    return choice.retrain * choice.retrain_seeds * epochs + choice.fine_tune_epochs


def _why_time_is_unknown(methods: Sequence[Method], submission: JobSubmission) -> str:
    if not methods:
        return ""
    names = " or ".join(method.value for method in methods)
    family = submission.network.family
    of_family = "" if family == MLP else f" with the family {family!r}"
    return f"The time: no trial of {names}{of_family} has ended on {submission.dataset!r} here yet."


def largest_size(submission: JobSubmission, shape: Shape) -> Size:
    """The size of the largest multi-layer perceptron that a trial could train."""
    return max(mlp_size(shape, widths) for widths in _widest(submission))


def mlp_size(shape: Shape, widths: Sequence[int]) -> Size:
    """The size of a multi-layer perceptron with these hidden layers."""
    layers = list(pairwise([shape.features, *widths, shape.classes]))
    return Size(
        parameters=sum((before + 1) * after for before, after in layers),
        macs=sum(before * after for before, after in layers),
    )


def _widest(submission: JobSubmission) -> Iterator[tuple[int, ...]]:
    bounds, methods = submission.network.widths, submission.methods
    assert bounds is not None, "perceptrons have bounds"
    if methods.shrinknets is not None or methods.path is not None:
        yield bounds
    for search in (methods.fixed, methods.fixed_l2):
        if search is not None:
            yield from _widest_fixed(bounds, search)


def _widest_fixed(bounds: tuple[int, ...], search: FixedSearch) -> Iterator[tuple[int, ...]]:
    # A deeper network can be the smaller one, where a layer is narrow.
    low, high = (search.depth.low, search.depth.high) if search.depth else (1, len(bounds))
    for depth in range(low, high + 1):
        yield tuple(search.width.high if search.width else bound for bound in bounds[:depth])
