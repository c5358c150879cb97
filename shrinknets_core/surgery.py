"""Cutting: dead features leave a model's tensors and the optimisers' state, all or nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from shrinknets_core.errors import OptionError

Cuts = dict[int, Tensor]
"""For each axis the int64 indices of what stays."""


BLOCK_ROWS = 64
"""Rows that are cut at a time on a CPU: between the two axes they stay in its cache."""
SMALL = 1 << 16
"""Tensors below this many entries are not worth blocks."""


def cut(tensor: Tensor, cuts: Cuts) -> Tensor:
    """Return the kept part, in one new tensor."""
    cuts = {axis: indices.to(tensor.device) for axis, indices in cuts.items()}
    if tensor.numel() >= SMALL and set(cuts) == {0, 1} and not tensor.is_cuda:
        return _cut_matrix(tensor, cuts[0], cuts[1])
    # The axis that loses most comes first.
    for axis, indices in sorted(cuts.items(), key=lambda c: len(c[1]) / tensor.shape[c[0]]):
        tensor = tensor.index_select(axis, indices)
    return tensor


def _cut_matrix(tensor: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    result = tensor.new_empty((len(rows), len(columns), *tensor.shape[2:]))
    for start in range(0, len(rows), BLOCK_ROWS):
        block = tensor.index_select(0, rows[start : start + BLOCK_ROWS])
        torch.index_select(block, 1, columns, out=result[start : start + BLOCK_ROWS])
    return result


def replace(tensor: Tensor, new: Tensor) -> None:
    """Give a tensor other data and another shape, keeping its identity.

    Autograd keeps the accumulator of a parameter, with its shape, while any old graph lives; it
    drops it only where the data type changes, so the data go through another type.
    """
    other = torch.float64 if new.dtype != torch.float64 else torch.float32
    if tensor.requires_grad and tensor.is_leaf:
        tensor.data = torch.empty(0, dtype=other, device=new.device)
    tensor.data = new


class Operation:
    """Everything that one collection is going to put in place; made first, applied at once."""

    def __init__(self) -> None:
        self._tensors: list[tuple[Tensor, Tensor, Tensor | None]] = []
        self._entries: list[tuple[Any, Any, Any]] = []
        self._before: list[tuple[Tensor, Tensor, Tensor | None]] = []

    def plan(self, tensor: Tensor, cuts: Cuts) -> None:
        """Cut a tensor and its gradient."""
        gradient = None if tensor.grad is None else cut(tensor.grad, cuts)
        self._tensors.append((tensor, cut(tensor.data, cuts), gradient))

    def plan_entry(self, holder: Any, key: Any, value: Any) -> None:
        """Set an item of a dictionary or list."""
        self._entries.append((holder, key, value))

    def apply(self) -> None:
        """Put everything in place."""
        self._before = [(tensor, tensor.data, tensor.grad) for tensor, _, _ in self._tensors]
        self._put(self._tensors)
        for holder, key, value in self._entries:
            holder[key] = value

    def undo(self) -> None:
        """Give the tensors back what they had; entries stay."""
        self._put(self._before)

    def _put(self, tensors: list[tuple[Tensor, Tensor, Tensor | None]]) -> None:
        torch.clear_autocast_cache()  # it holds copies of parameters, by identity
        for tensor, new, gradient in tensors:
            tensor.grad = None
            replace(tensor, new)
            tensor.grad = gradient


def plan_optimizer(
    operation: Operation, optimizer: torch.optim.Optimizer, cuts_of: dict[int, Cuts]
) -> None:
    """Cut all of an optimiser's state that has entries for what goes.

    State of a parameter's own shape is cut alike; factored state has size 1 in some axes; flat
    state (LBFGS) has an entry for each entry of all parameters. Other state is kept if it is a
    number.

    Raises:
        OptionError: there is state that is none of these.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    total = sum(p.numel() for p in parameters)
    keep: Tensor | None = None
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            tensors = value if isinstance(value, list) else [value]
            if all(isinstance(t, Tensor) and t.shape == (total,) for t in tensors) and (
                isinstance(optimizer, torch.optim.LBFGS) and tensors
            ):
                keep = _flat(parameters, cuts_of) if keep is None else keep
                new = [t[keep.to(t.device)] for t in tensors]
                operation.plan_entry(state, key, new if isinstance(value, list) else new[0])
                # It counts its parameters' entries once.
                operation.plan_entry(vars(optimizer), "_numel_cache", None)
            elif isinstance(value, Tensor) and id(parameter) in cuts_of:
                cuts = _cuts_of_state(optimizer, key, value, parameter, cuts_of[id(parameter)])
                if cuts:
                    operation.plan_entry(state, key, cut(value, cuts))


def forget(optimizers: Iterable[torch.optim.Optimizer], parameters: Iterable[Tensor]) -> None:
    """Take parameters out of optimisers, with their state."""
    gone = {id(parameter) for parameter in parameters}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in gone]
        for parameter in [p for p in optimizer.state if id(p) in gone]:
            del optimizer.state[parameter]


def _cuts_of_state(
    optimizer: torch.optim.Optimizer, key: str, value: Tensor, parameter: Tensor, cuts: Cuts
) -> Cuts:
    if value.numel() == 1:
        return {}
    sizes = zip(value.shape, parameter.shape, strict=False)
    if value.dim() == parameter.dim() and all(n in {1, size} for n, size in sizes):
        return {axis: c for axis, c in cuts.items() if value.shape[axis] == parameter.shape[axis]}
    raise OptionError(
        "optimizers",
        expected="state with an entry for every entry of its parameter, or factored along axes",
        got=f"{type(optimizer).__name__} with {key} of shape {tuple(value.shape)} for a parameter "
        f"of shape {tuple(parameter.shape)}",
    )


def _flat(parameters: Sequence[Tensor], cuts_of: dict[int, Cuts]) -> Tensor:
    """Return which entries of all parameters, one after the other, stay."""
    masks = []
    for parameter in parameters:
        mask = torch.ones(parameter.shape, dtype=torch.bool)
        for axis, indices in cuts_of.get(id(parameter), {}).items():
            stays = torch.zeros(parameter.shape[axis], dtype=torch.bool)
            stays[indices.cpu()] = True
            mask &= stays.view([-1 if d == axis else 1 for d in range(parameter.dim())])
        masks.append(mask.reshape(-1))
    return torch.cat(masks)
