"""Where the features of all groups are in a model's tensors, ready for sums over living entries."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from shrinknets_core.feature_groups import Group

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
BLOCK_ENTRIES = 1 << 16
"""Squares are taken in blocks of so many entries, which stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """The entries of one group along one axis of a tensor.

    Attributes:
        group: whose.
        index: (size of the axis,) int64 on the tensor's device, the feature of each entry, and
            -1 where it has none; None where the entries are the features in their order.
    """

    group: Group
    index: Tensor | None

    def alive(self) -> Tensor:
        """Return 1 for each entry that lives and 0 for the others, (size of the axis,)."""
        return self.spread(self.group.filter.alive)

    def spread(self, values: Tensor) -> Tensor:
        """Return each feature's value (num_features,) at its entries, 1 at those of no feature."""
        if self.index is None:
            return values
        return torch.cat([values.new_ones(1), values]).index_select(0, self.index + 1)

    def gather(self, values: Tensor) -> Tensor:
        """Return for each feature the sum of its entries' values (size of the axis,)."""
        if self.index is None:
            return values
        sums = values.new_zeros(self.group.size + 1)
        return sums.index_add_(0, self.index + 1, values)[1:]


Axes = dict[int, list[Line]]
"""The groups along each axis of a tensor that has any."""


class Layout:
    """All lines of a model; to be made anew after each collection.

    Args:
        model: the gated module.
        tensors: its parameters and buffers by their first names.
        groups: whose features are looked for.
    """

    def __init__(
        self, model: nn.Module, tensors: Mapping[str, Tensor], groups: Sequence[Group]
    ) -> None:
        self.groups = tuple(groups)
        self.parameters = {k: t for k, t in tensors.items() if isinstance(t, nn.Parameter)}
        self.axes: dict[str, Axes] = {}
        for group in groups:
            for slot in group.slots:
                if slot.tensor in tensors:
                    line = _line(group, slot.index, tensors[slot.tensor].device)
                    self.axes.setdefault(slot.tensor, {}).setdefault(slot.axis, []).append(line)
        for group in groups:
            self._add_branch(group, tensors)
        self._modules = dict(model.named_modules(remove_duplicate=False))

    def _add_branch(self, group: Group, tensors: Mapping[str, Tensor]) -> None:
        """Let all that belongs to a branch live and die with its one feature."""
        for name in sorted(group.bypass.tensors) if group.bypass is not None else ():
            if name in tensors and tensors[name].dim() > 0:
                index = torch.zeros(len(tensors[name]), dtype=torch.int64)
                line = _line(group, index, tensors[name].device)
                self.axes.setdefault(name, {}).setdefault(0, []).append(line)

    def lines(self, group: Group) -> list[tuple[str, int, Line]]:
        """Return the group's lines in parameters: name of the tensor, axis, line."""
        return [
            (name, axis, line)
            for name, axes in self.axes.items()
            if name in self.parameters
            for axis, lines in axes.items()
            for line in lines
            if line.group is group
        ]

    def passes_norm(self, group: Group) -> bool:
        """Tell whether the group's features are normalised where they are made."""
        return any(isinstance(self._owner(slot.tensor), NORMS) for slot in group.slots)

    def is_norm_scale(self, name: str) -> bool:
        """Tell whether a tensor is the scale of a norm."""
        return name.rpartition(".")[2] == "weight" and isinstance(self._owner(name), NORMS)

    def masks(self, name: str, *, dtype: torch.dtype | None = None) -> dict[int, Tensor]:
        """Return for each axis with features what lives along it, (size of the axis,)."""
        masks = {}
        for axis, lines in self.axes.get(name, {}).items():
            mask = product(line.alive() for line in lines)
            masks[axis] = mask if dtype is None else mask.to(dtype)
        return masks

    def _owner(self, name: str) -> nn.Module | None:
        return self._modules.get(name.rpartition(".")[0])


def product(tensors: Iterable[Tensor]) -> Tensor:
    """Multiply tensors of one shape."""
    first, *others = tensors
    for other in others:
        first = first * other
    return first


def _line(group: Group, index: Tensor, device: torch.device) -> Line:
    if len(index) == group.size and torch.equal(index, torch.arange(group.size)):
        return Line(group=group, index=None)
    return Line(group=group, index=index.to(device))


@torch.no_grad()
def squares(tensor: Tensor, masks: Mapping[int, Tensor], axes: Iterable[int]) -> dict[int, Tensor]:
    """Return for each of the axes the sums of squares over living entries of all others.

    One pass over the tensor in blocks of rows: a strided reduction of a wide matrix takes ten
    times as long on a CPU. Never waits for the device.

    Args:
        tensor: (n_0, …) any rank of 1 or more.
        masks: for some axes 1 or 0 for each entry, (n_axis,) in the tensor's dtype.
        axes: those asked for.

    Returns:
        For each axis asked for (n_axis,); its own mask is left out.
    """
    tensor = tensor.detach()
    wanted = list(axes)
    named = sorted({*masks, *wanted})
    others = [d for d in range(tensor.dim()) if d not in named]
    rows = max(1, BLOCK_ENTRIES * len(tensor) // max(1, tensor.numel()))
    sums: dict[int, list[Tensor]] = {axis: [] for axis in wanted}
    first = torch.split(masks[0], rows) if 0 in masks else None
    for number, block in enumerate(torch.split(tensor, rows)):
        square = block.square()
        if others:
            square = square.sum(others)
        here = {d: (first[number] if d == 0 and first else m) for d, m in masks.items()}
        for axis in wanted:
            sums[axis].append(_contract(square, here, named, axis))
    return {axis: torch.cat(parts) if axis == 0 else _total(parts) for axis, parts in sums.items()}


def _total(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).sum(0)


def _contract(square: Tensor, masks: Mapping[int, Tensor], named: list[int], axis: int) -> Tensor:
    """Sum over all of the named axes but one, entries weighted by the masks."""
    left = list(named)
    for other in reversed(named):
        if other == axis:
            continue
        position = left.index(other)
        mask = masks.get(other)
        if mask is None:
            square = square.sum(position)
        elif square.dim() == 2:
            square = square @ mask if position == 1 else mask @ square
        else:
            square = torch.tensordot(square, mask, dims=([position], [0]))
        left.remove(other)
    return square
