"""Neural garbage collection: dead features leave the network physically, its output unchanged."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from shrinknets_core.errors import OptionError
from shrinknets_core.groups import Group


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What one collection removed, by the name of the group."""

    removed: dict[str, int]

    @property
    def total(self) -> int:
        """All features removed."""
        return sum(self.removed.values())


Cuts = dict[int, Tensor]
"""For each axis the int64 indices of what stays."""


@torch.no_grad()
def collect(
    model: nn.Module,
    groups: Sequence[Group],
    optimizers: Iterable[torch.optim.Optimizer] = (),
) -> Collection:
    """Remove the dead features of all groups from the model and from the optimisers' state.

    Parameters keep their identity (only their data are replaced), so optimisers, hooks and averages
    stay valid. Every new tensor is made before the first is put in place: an exception leaves the
    network as it was. Changes model and optimisers in place; call it between an optimiser's step
    and the next forward pass, and drop earlier outputs or detach them: autograd remembers the old
    shapes for as long as anything of an old graph is alive.

    Args:
        model: the module that owns the groups.
        groups: where its features are.
        optimizers: those that hold state for its parameters (any torch.optim optimiser whose
            per-entry state has its parameter's shape, such as Adam, AdamW and SGD with momentum).

    Raises:
        OptionError: a layer has no living feature, or an optimiser keeps state of another shape.
    """
    kept = [torch.nonzero(group.filter.alive).flatten() for group in groups]
    for group, indices in zip(groups, kept, strict=True):
        if len(indices) == 0:
            raise OptionError(group.name, expected="a layer with a living feature", got="none")
    report = Collection(
        removed={g.name: g.filter.num_features - len(k) for g, k in zip(groups, kept, strict=True)}
    )
    if report.total == 0:
        return report
    planned = _plan(groups, kept)
    states = [_plan_state(optimizer, planned) for optimizer in optimizers]
    replacements = [(tensor, _cut(tensor.data, cuts)) for tensor, cuts in planned.values()]
    gradients = [
        (tensor, _cut(tensor.grad, cuts))
        for tensor, cuts in planned.values()
        if tensor.grad is not None
    ]
    for tensor, new in replacements:
        tensor.grad = None
        tensor.data = new
    for tensor, gradient in gradients:
        tensor.grad = gradient
    for state, entries in (pair for pairs in states for pair in pairs):
        state.update(entries)
    _restate_sizes(model)
    return report


def _plan(groups: Sequence[Group], kept: Sequence[Tensor]) -> dict[int, tuple[Tensor, Cuts]]:
    """Gather for each tensor the cuts along all of its axes, so that it is copied once."""
    planned: dict[int, tuple[Tensor, Cuts]] = {}
    for group, indices in zip(groups, kept, strict=True):
        if len(indices) == group.filter.num_features:
            continue
        for part in group.slices():
            planned.setdefault(id(part.tensor), (part.tensor, {}))[1][part.axis] = indices
    return planned


def _plan_state(
    optimizer: torch.optim.Optimizer, planned: dict[int, tuple[Tensor, Cuts]]
) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Cut each state tensor that has an entry for every entry of its parameter."""
    result = []
    for tensor, cuts in planned.values():
        state = optimizer.state.get(tensor, {})
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        if any(value.shape not in {tensor.shape, ()} for value in tensors.values()):
            kind = type(optimizer).__name__
            raise OptionError("optimizers", expected="state shaped as its parameters", got=kind)
        entries = {name: _cut(value, cuts) for name, value in tensors.items() if value.dim() > 0}
        result.append((state, entries))
    return result


def _cut(tensor: Tensor, cuts: Cuts) -> Tensor:
    """Return the kept part, in one new tensor; the axis that loses most is cut first."""
    for axis, indices in sorted(cuts.items(), key=lambda cut: len(cut[1]) / tensor.shape[cut[0]]):
        tensor = tensor.index_select(axis, indices)
    return tensor


def _restate_sizes(model: nn.Module) -> None:
    """Let the layers' own records of their sizes tell the truth again."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
