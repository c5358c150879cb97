"""Groups: features that can be removed one by one, and every place that they reach."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from shrinknets_core.filters import Filter
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import Demand, Site

if TYPE_CHECKING:
    from shrinknets_core.bypassing import Bypass


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One axis of a stored tensor that holds entries of a group's features.

    Attributes:
        tensor: its name in the model.
        axis: which.
        index: (size of the axis,) int64, the feature of each entry; -1 where it has none.
    """

    tensor: str
    axis: int
    index: Tensor


class Group:
    """Features that live or die one by one under one filter.

    Attributes:
        name: where the features are made in the model, such as `layer1.0.conv1`.
        filter: their gates.
        slots: every axis that holds entries of theirs.
        gated: the axes at which entries are multiplied by the gates; parts of the slots.
        readers: the weights that read the features, by name, and the axis they are read along.
        cost: parameters that go with one feature, all others there.
        bypass: for the one feature that stands for a whole branch beside a skip connection, how to
            leave it out.
        branches: those that die with the last of these features.
    """

    def __init__(
        self,
        name: str,
        *,
        num_features: int,
        slots: Sequence[Slot],
        gated: Sequence[Slot],
        readers: frozenset[tuple[str, int]],
        members: Sequence[frozenset[int]],
        cost: int,
    ) -> None:
        self.name = name
        self.filter = Filter(num_features)
        self.slots = tuple(slots)
        self.gated = tuple(gated)
        self.readers = readers
        self.members = tuple(members)
        self.branches: list[Group] = []
        self.bypass: Bypass | None = None
        self.cost = cost

    def __repr__(self) -> str:
        return f"Group({self.name!r}, size={self.size}, alive={self.alive}, cost={self.cost})"

    @property
    def size(self) -> int:
        """Features that are physically there, dead ones included."""
        return self.filter.num_features

    @property
    def alive(self) -> int:
        """Features that live; waits for the device."""
        return self.filter.num_alive()

    def follow(self, removed: Tensor | None, cuts: dict[str, dict[int, Tensor]]) -> None:
        """Follow a collection in which tensors were cut.

        removed: (size before,) bool, which of the group's own features went; None for none.
        """
        self.slots = tuple(_follow(slot, removed, cuts) for slot in self.slots)
        self.gated = tuple(_follow(slot, removed, cuts) for slot in self.gated)

    def kill(self, indices: Tensor | Iterable[int]) -> None:
        """Mark features dead by hand, for good; the next collection removes them.

        At least one feature stays physically, so that a group that is wholly dead still works: its
        last feature is kept with a gate of 0.

        Args:
            indices: of the features that are there now, 0 to size - 1, or a mask (size,).

        Raises:
            OptionError: an index is not below the group's size.
        """
        self.filter.kill(indices)
        if self.branches and self.alive == 0:
            for branch in self.branches:
                branch.kill([0])


def _follow(slot: Slot, removed: Tensor | None, cuts: dict[str, dict[int, Tensor]]) -> Slot:
    index = slot.index
    if removed is not None:
        new = torch.where(removed, -1, torch.cumsum(~removed, dim=0) - 1)
        index = torch.where(index >= 0, new[index.clamp(min=0)], -1)
    if (kept := cuts.get(slot.tensor, {}).get(slot.axis)) is not None:
        index = index[kept]
    return Slot(tensor=slot.tensor, axis=slot.axis, index=index)


def make_groups(
    graph: FlowGraph, shapes: dict[str, torch.Size], parameters: set[str]
) -> list[Group]:
    """Sort units into groups: those that reach the same axes at the same number of places."""
    classes = graph.units.classes
    units_of: dict[int, list[int]] = defaultdict(list)
    for unit, members in enumerate(graph.units.members):
        for c in members:
            units_of[c].append(unit)
    places = _places(graph, shapes, units_of)
    by_key: dict[object, list[int]] = defaultdict(list)
    for unit in sorted(places, key=lambda u: min(places[u])):
        counts: dict[tuple[int, int], int] = defaultdict(int)
        for tensor, axis, _ in places[unit]:
            counts[tensor, axis] += 1
        by_key[frozenset(counts.items())].append(unit)
    demands = _demands_of(graph, classes, units_of)
    names: dict[str, int] = defaultdict(int)
    order = list(shapes)
    groups = []
    for units in by_key.values():
        if not any(order[t] in parameters for t, _, _ in places[units[0]]):
            continue
        groups.append(
            _make_group(
                units, places, order, shapes, parameters, demands, names, graph.units.members
            )
        )
    return groups


Place = tuple[int, int, int]


def _places(
    graph: FlowGraph, shapes: dict[str, torch.Size], units_of: dict[int, list[int]]
) -> dict[int, list[Place]]:
    """Return for each unit the tensor, axis and position of its entries."""
    result: dict[int, list[Place]] = defaultdict(list)
    for number, name in enumerate(shapes):
        for axis, labels in enumerate(graph.axes[name]):
            if labels is None:
                continue
            for position, c in enumerate(graph.units.classes[labels].tolist()):
                for unit in units_of.get(c, ()):
                    result[unit].append((number, axis, position))
    return result


def _demands_of(
    graph: FlowGraph, classes: Tensor, units_of: dict[int, list[int]]
) -> dict[int, list[Demand]]:
    """Return for each unit the sums in which it must be able to contribute 0."""
    result: dict[int, dict[int, Demand]] = defaultdict(dict)
    for number, demand in enumerate(graph.book.demands):
        for c in set(classes[demand.labels].tolist()):
            for unit in units_of.get(c, ()):
                result[unit][number] = demand
    return {unit: list(found.values()) for unit, found in result.items()}


def _make_group(  # noqa: PLR0917
    units: list[int],
    places: dict[int, list[Place]],
    order: list[str],
    shapes: dict[str, torch.Size],
    parameters: set[str],
    demands: dict[int, list[Demand]],
    names: dict[str, int],
    graph_members: list[frozenset[int]],
) -> Group:
    slots: dict[tuple[str, int], Tensor] = {}
    for feature, unit in enumerate(units):
        for tensor, axis, position in places[unit]:
            key = (order[tensor], axis)
            if key not in slots:
                slots[key] = torch.full((shapes[order[tensor]][axis],), -1)
            slots[key][position] = feature
    wanted = {id(d): d for unit in units for d in demands.get(unit, ())}
    chosen = _choose_sites(list(wanted.values()), slots, shapes)
    gated = [
        Slot(tensor=s.tensor, axis=s.axis, index=_within(slots[s.tensor, s.axis], s))
        for s in sorted(chosen)
        if (s.tensor, s.axis) in slots
    ]
    cost = sum(
        shapes[name].numel() * int((index >= 0).sum()) // (len(index) * len(units))
        for (name, _), index in slots.items()
        if name in parameters
    )
    readers = frozenset(r for d in wanted.values() for r in d.readers if r in slots)
    return Group(
        _unique(_home(slots, shapes, parameters), names),
        num_features=len(units),
        slots=[Slot(tensor=t, axis=a, index=i) for (t, a), i in slots.items()],
        gated=gated,
        readers=readers,
        members=[graph_members[unit] for unit in units],
        cost=cost,
    )


def _choose_sites(
    demands: Sequence[Demand],
    slots: dict[tuple[str, int], Tensor],
    shapes: dict[str, torch.Size],
) -> set[Site]:
    """Choose where to multiply by the gates, so that dead features contribute 0 to every sum."""
    chosen: set[Site] = set()

    def relevant(option: frozenset[Site]) -> set[Site]:
        return {s for s in option if (s.tensor, s.axis) in slots}

    def cost(option: Iterable[Site]) -> int:
        new = set(option) - chosen
        # Gates at a linear layer multiply its output or input, elsewhere the tensor itself; and
        # entries that this sum does not see had better not be gated.
        sizes = [shapes[s.tensor][s.axis] if len(shapes[s.tensor]) <= 2
                 else shapes[s.tensor].numel() for s in new]  # fmt: skip
        return sum(sizes)

    open_demands = sorted(demands, key=lambda d: len(d.options))
    for demand in open_demands:
        options: list[set[Site]] = [relevant(option) for option in demand.options]
        if any(option <= chosen for option in options):
            continue
        chosen.update(min(options, key=cost))
    return chosen


def _within(index: Tensor, site: Site) -> Tensor:
    if site.stop - site.start == len(index):
        return index
    narrowed = torch.full_like(index, -1)
    narrowed[site.start : site.stop] = index[site.start : site.stop]
    return narrowed


def _home(
    slots: dict[tuple[str, int], Tensor], shapes: dict[str, torch.Size], parameters: set[str]
) -> str:
    """Return the module whose weight makes the features."""
    for name, axis in slots:
        if name in parameters and axis == 0 and len(shapes[name]) > 1:
            return name.rpartition(".")[0] or name
    name, _ = next(iter(slots))
    return name.rpartition(".")[0] or name


def _unique(name: str, names: dict[str, int]) -> str:
    names[name] += 1
    return name if names[name] == 1 else f"{name} ({names[name]})"
