"""How large the largest network of a job could get, from widths and the data set's shape alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from shrinknets.wire import DatasetName, FixedSearch, JobSubmission, Plan


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a data set asks of a network's ends."""

    features: int
    classes: int


@dataclass(frozen=True, kw_only=True, order=True)
class Size:
    """How large a network is, biases included."""

    parameters: int
    macs: int


SHAPES: Mapping[DatasetName, Shape] = {
    DatasetName.DIGITS: Shape(features=64, classes=10),
    DatasetName.BREAST_CANCER: Shape(features=30, classes=2),
    DatasetName.WINE: Shape(features=13, classes=3),
}


def plan_of(submission: JobSubmission) -> Plan:
    """What the submission would become."""
    size = find_largest(submission)
    return Plan(
        spec=submission.spec(),
        labels=submission.labels,
        priority=submission.priority,
        total_trials=sum(submission.methods.chosen().values()),
        largest_parameters=size.parameters if size else None,
        largest_macs=size.macs if size else None,
        unknown_because=""
        if size
        else f"The shape of the data set {submission.dataset.value!r} is not known.",
    )


def find_largest(submission: JobSubmission) -> Size | None:
    """The size of the largest network that a trial could train; None where it is not known."""
    shape = SHAPES.get(submission.dataset)
    if shape is None:
        return None
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
