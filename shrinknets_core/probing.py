"""A probe: does a model give the same outputs before and after features are cut?"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from shrinknets_core.flow.tracing import Call, find_tensors, preserved

Outputs = list[list[Tensor]]
"""The output tensors in evaluation and in training."""

SEEDS = (0, 1)

T = TypeVar("T")


def differ(first: Outputs, second: Outputs) -> bool:
    """Tell whether outputs differ by more than rounding: the square root of the precision."""
    return any(
        _differs(a, b)
        for one, two in zip(first, second, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def outputs(model: nn.Module, call: Call, modes: Sequence[bool]) -> Outputs:
    """Run a model in some modes (True for training); leaves its buffers and modes as they are."""
    return [_run(model, call, training, seed=SEEDS[0]) for training in modes]


def repeatable_modes(model: nn.Module, call: Call) -> list[bool]:
    """Return the modes in which a model runs and does not depend on random numbers.

    Cut layers draw other random numbers, so that a model that uses any can't be compared.
    """
    found = []
    for training in (False, True):
        try:
            first, second = (_run(model, call, training, seed=seed) for seed in SEEDS)
        except Exception:  # noqa: BLE001, S112  (it does not run in this mode)
            continue
        if not any(_differs(a, b) for a, b in zip(first, second, strict=True)):
            found.append(training)
    return found


def _run(model: nn.Module, call: Call, training: bool, *, seed: int) -> list[Tensor]:
    with preserved(model), torch.no_grad():
        torch.manual_seed(seed)
        model.train(training)
        return [tensor.detach().clone() for tensor in find_tensors(model(*call[0], **call[1]))]


def _differs(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return True
    if not (a.dtype.is_floating_point or a.dtype.is_complex):
        return not torch.equal(a, b)
    finite = a.isfinite()
    if not torch.equal(finite, b.isfinite()):
        return True
    if not bool(finite.any()):
        return False
    scale = a[finite].abs().max()
    tolerance = torch.finfo(a.dtype).eps ** 0.5
    return bool((a[finite] - b[finite]).abs().max() > tolerance * scale)


def find_liars(changes: Callable[[Sequence[T]], bool], things: Sequence[T]) -> list[T]:
    """Return which things change the outputs when they are tried together, by halving.

    Args:
        changes: tries some of them and tells whether the outputs changed.
        things: all of them.
    """
    if not things or not changes(things):
        return []
    found: list[T] = []
    pending = [list(things)]
    while pending:
        part = pending.pop()
        if not changes(part):
            continue
        if len(part) == 1:
            found.extend(part)
        else:
            pending.extend([part[: len(part) // 2], part[len(part) // 2 :]])
    rest = [thing for thing in things if thing not in found]
    # Some may only fail together: then all of them are given up.
    return list(things) if rest and changes(rest) else found
