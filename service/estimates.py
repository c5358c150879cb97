"""How large the largest network of a job could get, from widths and the data set's shape alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from shrinknets.wire import FixedSearch, JobSubmission, Plan


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


def plan_of(submission: JobSubmission, shape: Shape) -> Plan:
    """What the submission would become, on data of this shape."""
    size = largest_size(submission, shape)
    return Plan(
        spec=submission.spec(),
        labels=submission.labels,
        priority=submission.priority,
        total_trials=sum(submission.methods.chosen().values()),
        largest_parameters=size.parameters,
        largest_macs=size.macs,
        unknown_because="",
    )


def largest_size(submission: JobSubmission, shape: Shape) -> Size:
    """The size of the largest network that a trial could train."""
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
