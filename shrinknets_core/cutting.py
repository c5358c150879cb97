"""One cut of a model: what stays of every tensor when features go, put in place and taken back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shrinknets_core.attributes import Notes, put_back, restate_sizes
from shrinknets_core.feature_groups import Group
from shrinknets_core.rewriting.forwards import restate_forwards
from shrinknets_core.surgery import Cuts, Operation
from shrinknets_core.widening import Widening


@dataclass(frozen=True, kw_only=True)
class Collected:
    """What one collection removed, by the name of the group."""

    removed: dict[str, int]

    @property
    def total(self) -> int:
        """All features removed."""
        return sum(self.removed.values())


@dataclass(frozen=True, kw_only=True)
class Remainder:
    """What stays when features go.

    Attributes:
        tensors: of each tensor's axes, by the tensor's name.
        vectors: the same of label vectors that stand for no tensor, `name#` and `name##`.
    """

    tensors: dict[str, Cuts]
    vectors: dict[str, Cuts]

    @property
    def counts(self) -> dict[str, int]:
        """Return how many are left of what is counted: layers' groups, sizes in rewritten code."""
        return {
            name[:-1]: len(cut[0]) for name, cut in self.vectors.items() if not name.endswith("##")
        }

    @property
    def wide(self) -> dict[str, Tensor]:
        """Return which of their features wide modules keep."""
        return {name[:-2]: cut[0] for name, cut in self.vectors.items() if name.endswith("##")}


def spare(groups: Sequence[Group], removed: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Keep so many features that no axis is left without an entry, as layers need one.

    A group that keeps a feature may still lose all that one layer makes of it.

    removed: for each group, by identity, which of its features are to go, (size,) bool.
    """
    removed = {identity: lost.clone() for identity, lost in removed.items()}
    while empty := {key for key, gone in _gone(groups, removed).items() if bool(gone.all())}:
        for group in groups:
            for slot in group.slots:
                if (slot.tensor, slot.axis) in empty and int(slot.index[-1]) >= 0:
                    removed[id(group)][slot.index[-1]] = False
    return removed


def _gone(groups: Sequence[Group], removed: Mapping[int, Tensor]) -> dict[tuple[str, int], Tensor]:
    """Return for each axis that loses something which entries go, (size of the axis,) bool."""
    gone: dict[tuple[str, int], Tensor] = {}
    for group in groups:
        lost = removed[id(group)]
        if not bool(lost.any()):
            continue
        for slot in group.slots:
            mask = lost[slot.index.clamp(min=0)] & (slot.index >= 0)
            key = (slot.tensor, slot.axis)
            gone[key] = gone[key] | mask if key in gone else mask
    return gone


def find_remainder(groups: Sequence[Group], removed: Mapping[int, Tensor]) -> Remainder:
    """Work out what stays.

    removed: for each group, by identity, which of its features go, (size,) bool.
    """
    tensors: dict[str, Cuts] = {}
    vectors: dict[str, Cuts] = {}
    for (name, axis), mask in _gone(groups, removed).items():
        kept = torch.nonzero(~mask).flatten()
        if name.endswith("#"):
            vectors[name] = {axis: kept}
        elif len(kept) < len(mask):
            tensors.setdefault(name, {})[axis] = kept
    return Remainder(tensors=tensors, vectors=vectors)


class ModelCut:
    """A cut of a model's tensors, with all that its modules note about their sizes.

    Everything is made before the first is put in place.

    Args:
        model: what is cut.
        tensors: its parameters and buffers by their first names.
        widening: its wide modules.
        remainder: what stays.

    Attributes:
        operation: the tensors' part, to which more can be added before `apply`.
    """

    def __init__(
        self,
        model: nn.Module,
        tensors: Mapping[str, Tensor],
        widening: Widening,
        remainder: Remainder,
    ) -> None:
        self._model = model
        self._widening = widening
        self._remainder = remainder
        self._kept: dict[str, Tensor] = {}
        self._notes: Notes = []
        self.operation = Operation()
        for name, cut in remainder.tensors.items():
            self.operation.plan(tensors[name], cut)

    def apply(self) -> None:
        """Put everything in place."""
        counts = self._remainder.counts
        self.operation.apply()
        self._kept = self._widening.cut(self._remainder.wide)
        self._notes = restate_sizes(self._model, counts) + restate_forwards(self._model, counts)

    def undo(self) -> None:
        """Take everything back, but for entries of optimisers' state."""
        put_back(self._notes)
        self._widening.put(self._kept)
        self.operation.undo()
