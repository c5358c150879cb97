"""What the flow's labels say about sizes: how many entries are left, and which are sure to be."""

from collections.abc import Iterator

import torch
from torch import Tensor

from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import FIXED

TRIALS = 8
"""Enough that two numbers that have nothing to do with each other do not agree in all."""


class LabelCounter:
    """Counts what is left of label vectors in a few imagined collections.

    In the first one all goes that can go, in the others a part of it, drawn at random.
    """

    def __init__(self, graph: FlowGraph) -> None:
        self.classes = graph.units.classes
        self._fixed = int(self.classes[FIXED])
        self._stored = _stored_classes(graph)
        self._axes = {tuple(self.classes[labels].tolist()) for labels in _stored_axes(graph)}
        members = [sorted(unit) for unit in graph.units.members]
        sizes = torch.tensor([len(unit) for unit in members], dtype=torch.int64)
        flat = torch.tensor([c for unit in members for c in unit], dtype=torch.int64)
        generator = torch.Generator().manual_seed(0)
        self._alive = []
        for trial in range(TRIALS):
            share = 1.0 if trial == 0 else float(torch.rand(1, generator=generator)) * 0.6 + 0.2
            dies = torch.rand(len(members), generator=generator) < share
            alive = torch.ones(len(self.classes), dtype=torch.bool)
            alive[flat[dies.repeat_interleave(sizes)]] = False
            self._alive.append(alive[self.classes])

    def counts(self, labels: Tensor) -> tuple[int, ...]:
        """Return how many entries are left in each trial."""
        return tuple(int(alive[labels].sum()) for alive in self._alive)

    def shrinks(self, labels: Tensor) -> bool:
        """Tell whether an entry can go."""
        return not bool(self._alive[0][labels].all())

    def is_constant(self, labels: Tensor) -> bool:
        """Tell whether an axis is as long as the model's tensors say, whatever the inputs are.

        It is such a tensor's own axis, or each feature stands there once: otherwise the inputs
        might say how often.
        """
        own = self.classes[labels]
        if tuple(own.tolist()) in self._axes:
            return True
        own = own[own != self._fixed]
        return len(own) > 0 and bool(self._stored[own].all()) and len(set(own.tolist())) == len(own)

    def alike(self, first: Tensor, second: Tensor) -> bool:
        """Tell whether two label vectors stand for the same features."""
        return torch.equal(self.classes[first], self.classes[second])


def _stored_axes(graph: FlowGraph) -> Iterator[Tensor]:
    for name, axes in graph.axes.items():
        if not name.endswith("#"):
            yield from (labels for labels in axes if labels is not None)


def _stored_classes(graph: FlowGraph) -> Tensor:
    """Return which classes belong to axes of stored tensors, or were made of such, as a mask."""
    classes = graph.units.classes
    found = torch.zeros(len(classes), dtype=torch.bool)
    for labels in _stored_axes(graph):
        found[classes[labels]] = True
    rows = [
        classes[torch.cat([relation.labels.unsqueeze(1), relation.causes], dim=1)]
        for relation in graph.book.relations
    ]
    fixed = int(classes[FIXED])
    before = -1
    while before != int(found.sum()):
        found[fixed] = False
        before = int(found.sum())
        for row in rows:
            found[row[found[row].any(dim=1)]] = True
        found[fixed] = False
    return found
