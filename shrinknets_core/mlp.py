"""The multi-layer perceptron, with filters (to be shrunk) and without (fixed, or finished)."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from shrinknets_core.errors import OptionError
from shrinknets_core.filters import Filter
from shrinknets_core.groups import Group, Slice, WeightSlice
from shrinknets_core.sizes import Size

__all__ = ["MLP", "Size", "mlp_size"]


class MLP(nn.Module):
    """Linear layers with a filter and a ReLU after each hidden one.

    Input (batch, inputs), output logits (batch, outputs).

    Args:
        inputs: features of one example.
        widths: units of each hidden layer, input side first.
        outputs: classes.
        filters: whether hidden units are gated; without, `groups()` is empty.

    Raises:
        OptionError: a size is below 1, or there is no hidden layer.
    """

    def __init__(
        self, inputs: int, widths: Sequence[int], outputs: int, *, filters: bool = True
    ) -> None:
        super().__init__()
        sizes = [inputs, *widths, outputs]
        if not widths or min(sizes) < 1:
            raise OptionError(
                "inputs, widths and outputs",
                expected="at least 1 each, with one hidden layer or more",
                got=sizes,
            )
        pairs = list(pairwise(sizes))
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairs[:-1])
        self.filters = nn.ModuleList(Filter(b) for b in widths) if filters else nn.ModuleList()
        self.head = nn.Linear(*pairs[-1])

    def forward(self, x: Tensor) -> Tensor:
        for index, layer in enumerate(self.hidden):
            x = layer(x)
            if self.filters:
                x = self.filters[index](x)
            x = x.relu()
        return self.head(x)  # type: ignore[no-any-return]

    def linears(self) -> list[nn.Linear]:
        """Return all linear layers, input side first."""
        return cast("list[nn.Linear]", [*self.hidden, self.head])

    def gatings(self) -> list[Filter]:
        """Return the filter of each hidden layer; empty where there are none."""
        return cast("list[Filter]", [*self.filters])

    def groups(self) -> list[Group]:
        """Return one group per hidden layer, input side first."""
        gatings: list[Filter | None] = [None, *self.gatings(), None]
        return [
            Group(
                name=f"hidden.{index}",
                filter=gating,
                incoming=WeightSlice(tensor=before.weight, axis=0, across=gatings[index]),
                outgoing=WeightSlice(tensor=after.weight, axis=1, across=gatings[index + 2]),
                others=(Slice(tensor=before.bias, axis=0),),
            )
            for index, (gating, (before, after)) in enumerate(
                zip(self.gatings(), pairwise(self.linears()), strict=False)
            )
        ]

    def weights(self) -> list[nn.Parameter]:
        """Return all parameters but the gates."""
        return [p for layer in self.linears() for p in layer.parameters()]

    def gates(self) -> list[nn.Parameter]:
        """Return the gates, one parameter per hidden layer."""
        return [layer.theta for layer in self.gatings()]

    def widths(self) -> tuple[int, ...]:
        """Return the features of each hidden layer that are physically there."""
        return tuple(layer.out_features for layer in self.linears()[:-1])

    def kept(self) -> list[Tensor]:
        """Return the original numbers of each hidden layer's features, dead ones included."""
        return [layer.feature_ids for layer in self.gatings()]

    def hold_gates(self, *, hold: bool) -> None:
        """Stop computing the gates' gradients, or start again; changes the gates in place."""
        for gate in self.gates():
            gate.requires_grad_(not hold)

    @torch.no_grad()
    def folded(self) -> "MLP":
        """Return an MLP without filters that computes the same: gates go into the rows before.

        `relu(θ (W x + b)) = relu((θ W) x + θ b)` as θ ≥ 0. Dead features stay where they are as
        rows of zeros: collect first. The new network shares nothing with this one.
        """
        layers = self.linears()
        plain = MLP(layers[0].in_features, self.widths(), layers[-1].out_features, filters=False)
        plain.to(self.head.weight)
        for new, old in zip(plain.linears(), layers, strict=True):
            new.load_state_dict(old.state_dict())
        for layer, gating in zip(plain.linears(), self.gatings(), strict=False):
            gate = gating.theta.relu()
            layer.weight.mul_(gate.unsqueeze(1))
            layer.bias.mul_(gate)
        return plain


def mlp_size(inputs: int, widths: Sequence[int], outputs: int) -> Size:
    """Count parameters and MACs of a plain MLP without building it."""
    sizes = [inputs, *widths, outputs]
    macs = sum(a * b for a, b in pairwise(sizes))
    return Size(parameters=macs + sum(sizes[1:]), macs=macs)
