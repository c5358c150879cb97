"""Units: the smallest sets of labels that can be removed together."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from shrinknets_core.flow.labels import FIXED, LabelBook

MAX_STEPS = 10_000
"""A unit that needs more additions than this is given up."""


@dataclass(frozen=True, kw_only=True)
class Units:
    """All that can be removed.

    Attributes:
        classes: (labels,) int64, the class of each label: labels of one class are one thing.
        members: for each unit, the classes that die with it.
        reasons: for classes that can't be removed, why.
    """

    classes: Tensor
    members: list[frozenset[int]]
    reasons: dict[int, str]


def find_units(book: LabelBook) -> Units:
    """Work out the units from all that the flow has learnt."""
    classes = _classes(book)
    fixed = int(classes[FIXED])
    reasons: dict[int, str] = {}
    for labels, reason in book.frozen:
        for c in set(classes[labels].tolist()):
            if c != fixed:
                reasons.setdefault(c, reason)
    reasons[fixed] = "a part of the input or a constant"
    solver = _Solver(classes, book, set(reasons))
    seeds = sorted(set(classes.tolist()) - set(reasons) - solver.consequences)
    members: dict[frozenset[int], None] = {}
    for seed in seeds:
        unit = solver.close(seed)
        if unit is None:
            reasons[seed] = "bound to something that must stay"
        else:
            members[unit] = None
    return Units(classes=classes, members=_smallest(list(members)), reasons=reasons)


def _classes(book: LabelBook) -> Tensor:
    """Return the least label that each label is tied to, directly or through others."""
    parent = torch.arange(book.count)
    if not book.ties:
        return parent
    first = torch.cat([a for a, _ in book.ties])
    second = torch.cat([b for _, b in book.ties])
    while True:
        low = torch.minimum(parent[first], parent[second])
        new = parent.scatter_reduce(0, parent[first], low, "amin")
        new = new.scatter_reduce(0, parent[second], low, "amin")
        new = new[new]
        if torch.equal(new, parent):
            return parent
        parent = new


class _Solver:
    """Closes sets of classes under the relations: a label dies exactly when a cause does."""

    def __init__(self, classes: Tensor, book: LabelBook, frozen: set[int]) -> None:
        self._frozen = frozen
        self._effects: dict[int, set[int]] = defaultdict(set)
        self._causes: dict[int, set[tuple[int, ...]]] = defaultdict(set)
        for relation in book.relations:
            rows = torch.cat([relation.labels.unsqueeze(1), relation.causes], dim=1)
            for label, *causes in torch.unique(classes[rows], dim=0).tolist():
                self._causes[label].add(tuple(causes))
                for cause in causes:
                    self._effects[cause].add(label)
        self.consequences = set(self._causes)

    def close(self, seed: int) -> frozenset[int] | None:
        """Return the smallest set found that holds the seed and can die; None if there is none."""
        dead: set[int] = set()
        pending = [seed]
        deaths: list[tuple[int, ...]] = []
        for _ in range(MAX_STEPS):
            while pending:
                c = pending.pop()
                if c in self._frozen:
                    return None
                if c not in dead:
                    dead.add(c)
                    pending.extend(self._effects.get(c, ()))
                    deaths.extend(self._causes.get(c, ()))
            # What dies needs a cause; one that has any needs no other later on.
            while deaths and not dead.isdisjoint(deaths[-1]):
                deaths.pop()
            if not deaths:
                return frozenset(dead)
            cause = self._cheapest(deaths.pop(), dead)
            if cause is None:
                return None
            pending.append(cause)
        return None

    def _cheapest(self, causes: Iterable[int], dead: set[int]) -> int | None:
        """Choose the cause that kills the fewest others."""
        open_causes = [c for c in causes if c not in self._frozen]
        costs = [(len(self._effects.get(c, set()) - dead), c) for c in open_causes]
        return min(costs)[1] if costs else None


def _smallest(members: list[frozenset[int]]) -> list[frozenset[int]]:
    """Drop units that hold a smaller one."""
    kept: dict[int, list[frozenset[int]]] = defaultdict(list)
    result: set[frozenset[int]] = set()
    for unit in sorted(members, key=len):
        # A smaller one inside is found by its least class.
        if not any(smaller < unit for c in unit for smaller in kept.get(c, ())):
            kept[min(unit)].append(unit)
            result.add(unit)
    return [unit for unit in members if unit in result]
