"""Labels: integers that say which entries of a network's tensors belong to one feature."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

FIXED = 0
"""The label of entries that stay whatever happens: inputs, constants, padding."""


class Site(NamedTuple):
    """A part of one axis of a stored tensor at which features can be multiplied by their gates."""

    tensor: str
    axis: int
    start: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The features along one axis of a value.

    Attributes:
        labels: (size,) int64.
        zeroed_by: the sites that, all gated with 0, make the entries of a feature exactly 0; None
            where nothing can.
    """

    labels: Tensor
    zeroed_by: frozenset[Site] | None = None


@dataclass(frozen=True, kw_only=True)
class Value:
    """What the flow knows of one tensor: its shape, and the features along each of its axes.

    An entry belongs to the features of all of its axes; it goes when one of them dies.

    Attributes:
        shape: sizes.
        axes: by position; axes without features are left out.
        known: the tensor itself where it is the same in every forward pass, such as an index.
        name: what it is stored as, for a parameter or buffer.
    """

    shape: tuple[int, ...]
    axes: dict[int, Axis] = field(default_factory=dict)
    known: Tensor | None = None
    name: str | None = None

    def axis(self, position: int) -> Axis | None:
        """Return the features along one axis; negative positions count from the end."""
        return self.axes.get(position % len(self.shape)) if self.shape else None

    def without(self, positions: Iterable[int]) -> "Value":
        """Return this value with no features along these axes."""
        gone = {position % len(self.shape) for position in positions}
        return Value(shape=self.shape, axes={d: a for d, a in self.axes.items() if d not in gone})


@dataclass(frozen=True, kw_only=True)
class Relation:
    """Says that a label dies exactly when one of the labels beside it does.

    Attributes:
        labels: (rows,) int64.
        causes: (rows, k) int64.
    """

    labels: Tensor
    causes: Tensor


@dataclass(frozen=True, kw_only=True)
class Demand:
    """A sum over features, to which a dead one must contribute exactly 0.

    Attributes:
        labels: (n,) int64, the features summed over.
        options: each is a set of sites that would make the contributions 0; one suffices.
        readers: the stored weights that are summed with, by name, and the axis summed over.
    """

    labels: Tensor
    options: tuple[frozenset[Site], ...]
    readers: frozenset[tuple[str, int]] = frozenset()


class LabelBook:
    """Hands out labels and writes down all that is learnt about them."""

    def __init__(self) -> None:
        self.count = 1
        self.ties: list[tuple[Tensor, Tensor]] = []
        self.frozen: list[tuple[Tensor, str]] = []
        self.relations: list[Relation] = []
        self.demands: list[Demand] = []
        self.counts: dict[str, Tensor] = {}
        self.wide: dict[str, tuple[int, Tensor]] = {}

    def fresh(self, size: int) -> Tensor:
        """Return labels that nobody has, (size,) int64."""
        labels = torch.arange(self.count, self.count + size)
        self.count += size
        return labels

    def tie(self, first: Tensor, second: Tensor) -> None:
        """Let entries of two label vectors of equal shape live and die together."""
        if first is not second:
            self.ties.append((first.reshape(-1), second.reshape(-1)))

    def freeze(self, labels: Tensor, reason: str) -> None:
        """Keep features for ever."""
        self.frozen.append((labels.reshape(-1), reason))

    def relate(self, labels: Tensor, causes: Tensor) -> None:
        """Let labels (rows,) die exactly when one of their causes (rows, k) does."""
        self.relations.append(Relation(labels=labels, causes=causes))

    def demand(self, labels: Tensor, parts: Iterable[tuple[Value, int]], why: str) -> None:
        """Ask that dead features contribute 0 to a sum; freeze them where nothing can do that.

        parts: the values that are multiplied with one another and summed, and their axis.
        """
        parts = list(parts)
        options = [v.axes[d].zeroed_by for v, d in parts if d in v.axes]
        possible = tuple(option for option in options if option is not None)
        readers = frozenset((v.name, d) for v, d in parts if v.name is not None)
        if possible:
            self.demands.append(Demand(labels=labels, options=possible, readers=readers))
        else:
            self.freeze(labels, why)
