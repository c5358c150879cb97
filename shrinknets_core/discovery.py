"""What of a model can shrink: groups that the model's own code follows when they are cut."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from shrinknets_core.cutting import ModelCut, find_remainder, spare
from shrinknets_core.feature_groups import Group, make_groups
from shrinknets_core.flow.graph import FlowGraph, refreeze
from shrinknets_core.flow.verification import Misfit, find_misfit
from shrinknets_core.rewriting.rewriter import Rewriter
from shrinknets_core.widening import Widening

MAX_ROUNDS = 12
"""So often a module's code is tried with shrunken tensors, before all features are frozen."""


class Discovery:
    """The groups of a model. Rewrites forward passes that would not follow, in place.

    Args:
        model: what is looked at.
        tensors: its parameters and buffers by their first names.
        graph: its flow graph.

    Attributes:
        graph: as it is after forward passes were rewritten and features frozen.
        groups: what can go.
        widening: the modules that run at full width.
    """

    def __init__(self, model: nn.Module, tensors: Mapping[str, Tensor], graph: FlowGraph) -> None:
        self._model = model
        self._tensors = tensors
        self.graph: FlowGraph
        self.groups: list[Group]
        rewriter = Rewriter(model)
        self._take(rewriter.prepare(graph))
        seen: Counter[tuple[str, ...]] = Counter()
        rewritten_for: set[tuple[str, ...]] = set()
        for attempt in range(MAX_ROUNDS + 1):
            self.groups = self._make_groups()
            misfit = self._try()
            if misfit is None:
                if not rewriter.restore_unused(self.graph, self.groups):
                    break
                continue
            place = tuple(node.name for _, node in misfit.nodes)
            if not seen and place not in rewritten_for:
                rewritten_for.add(place)
                if (rewritten := rewriter.rewrite(self.graph)) is not self.graph:
                    self._take(rewritten)
                    continue
            # The same misfit again: what was frozen there was not what mattered.
            widening = 3 if attempt >= MAX_ROUNDS - 1 else seen[place]
            seen[place] += 1
            self.graph = refreeze(self.graph, misfit.nodes, misfit.reason, widening=widening)

    def _take(self, graph: FlowGraph) -> None:
        """Go on with a graph, whose label vectors are looked at like tensors' axes."""
        self.graph = graph
        vectors = {f"{path}#": labels for path, labels in graph.book.counts.items()}
        vectors |= {f"{path}##": labels for path, (_, labels) in graph.book.wide.items()}
        graph.axes.update({name: [labels] for name, labels in vectors.items()})
        self._shapes = {name: tensor.shape for name, tensor in self._tensors.items()}
        self._shapes |= {name: labels.shape for name, labels in vectors.items()}
        wide = {path: (axis, len(labels)) for path, (axis, labels) in graph.book.wide.items()}
        self.widening = Widening(self._model, wide)

    def _make_groups(self) -> list[Group]:
        parameters = {n for n, t in self._tensors.items() if isinstance(t, nn.Parameter)}
        return make_groups(self.graph, self._shapes, parameters)

    def _try(self) -> Misfit | None:
        """Cut a part of each group for a moment, and see whether the code follows.

        Once to different sizes: what follows if all lose half may not follow otherwise. And once
        to the same size: code that compares two sizes must not find them equal by chance one day.
        """
        rng = torch.Generator().manual_seed(0)
        if misfit := self._cut({id(g): draw_part(g.size, rng) for g in self.groups}):
            return misfit
        left = max(2, min((group.size for group in self.groups), default=0) // 2)
        return self._cut({id(g): draw_down_to(left, g.size, rng) for g in self.groups})

    def _cut(self, removed: Mapping[int, Tensor]) -> Misfit | None:
        """Trace the model without some features; puts everything back."""
        removed = spare(self.groups, removed)
        dead: set[int] = set()
        for group in self.groups:
            for feature in torch.nonzero(removed[id(group)]).flatten().tolist():
                dead |= group.members[feature]
        if not dead:
            return None
        alive = torch.ones(self.graph.book.count, dtype=torch.bool)
        alive[list(dead)] = False
        remainder = find_remainder(self.groups, removed)
        cut = ModelCut(self._model, self._tensors, self.widening, remainder)
        cut.apply()
        try:
            return find_misfit(self.graph, self._model, alive)
        finally:
            cut.undo()


def draw_part(size: int, rng: torch.Generator) -> Tensor:
    """Choose features to try to remove, between a fifth and four fifths: (size,) bool."""
    share = 0.2 + 0.6 * float(torch.rand(1, generator=rng))
    return draw_down_to(size - min(size - 1, max(1, round(size * share))), size, rng)


def draw_down_to(left: int, size: int, rng: torch.Generator) -> Tensor:
    """Choose features to try to remove, until no more than some are left: (size,) bool."""
    lost = torch.zeros(size, dtype=torch.bool)
    lost[torch.randperm(size, generator=rng)[: max(0, size - left)]] = True
    return lost
