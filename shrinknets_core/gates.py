"""Hooks that multiply by gates what layers compute, or the tensors that they compute with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shrinknets_core.filters import Filter


class Factor:
    """The gates along one axis of a tensor, one for each of its entries."""

    def __init__(self, filter_: Filter, index: Tensor) -> None:
        self.filter = filter_
        size = filter_.num_features
        plain = len(index) == size and torch.equal(index, torch.arange(size))
        # Entries without a feature look up the 1 that is put before the gates.
        self.index = None if plain else (index + 1).to(filter_.theta.device)

    def __call__(self) -> Tensor:
        """Return the gates, (entries,)."""
        # Not relu: at exactly 0 a clamp passes the one-sided derivative, which a gate needs to
        # get back.
        gates = self.filter.theta.clamp_min(0)
        if self.index is None:
            return gates
        one = gates.new_ones(1)
        if self.index.device != gates.device:
            self.index = self.index.to(gates.device)
        return torch.cat([one, gates]).index_select(0, self.index)


def product(factors: Sequence[Factor]) -> Tensor:
    """Multiply the gates of several filters along one axis."""
    result = factors[0]()
    for factor in factors[1:]:
        result = result * factor()
    return result


@dataclass(eq=False)
class Shadow:
    """A stored tensor that its module sees multiplied by gates while a forward pass runs."""

    owner: nn.Module
    attribute: str
    factors: dict[int, list[Factor]]

    def scaled(self) -> Tensor:
        """Return the tensor times its gates."""
        tensor = getattr(self.owner, self.attribute)
        for axis, factors in self.factors.items():
            shape = [1] * tensor.dim()
            shape[axis] = -1
            tensor = tensor * product(factors).view(shape)
        return tensor  # type: ignore[no-any-return]


class ShadowGate:
    """Puts shadows before a module's forward pass, and takes them away after it.

    An attribute in a module's `__dict__` hides the parameter of that name: names, identities and
    the state dict stay as they are.
    """

    def __init__(self, shadows: list[Shadow]) -> None:
        self.shadows = shadows

    def before(self, module: nn.Module, args: Any) -> None:
        """Hide the tensors behind scaled ones."""
        scaled = [shadow.scaled() for shadow in self.shadows]
        for shadow, tensor in zip(self.shadows, scaled, strict=True):
            shadow.owner.__dict__[shadow.attribute] = tensor
            if isinstance(shadow.owner, nn.RNNBase):
                _swap_flat_weight(shadow.owner, shadow.attribute, tensor)

    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        """Show the tensors again."""
        for shadow in self.shadows:
            if shadow.owner.__dict__.pop(shadow.attribute, None) is not None and isinstance(
                shadow.owner, nn.RNNBase
            ):
                stored = getattr(shadow.owner, shadow.attribute)
                _swap_flat_weight(shadow.owner, shadow.attribute, stored)


def _swap_flat_weight(module: nn.RNNBase, name: str, tensor: Tensor) -> None:
    """Recurrent layers read their weights from a list of their own."""
    position = module._flat_weights_names.index(name)
    module.__dict__["_flat_weights"] = [
        tensor if i == position else w for i, w in enumerate(module._flat_weights)
    ]


class OutputGate:
    """Multiplies a linear layer's output: the same as its rows and bias, and cheaper."""

    def __init__(self, factors: list[Factor]) -> None:
        self.factors = factors

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        # Under autocast the output has another type than the gates, and keeps it.
        return output * product(self.factors).to(output.dtype)


class InputGate:
    """Multiplies a linear layer's input: the same as its columns, and cheaper."""

    def __init__(self, factors: list[Factor]) -> None:
        self.factors = factors

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * product(self.factors).to(args[0].dtype), *args[1:])
