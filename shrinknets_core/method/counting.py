"""How large a gated network is: living parameters and MACs, counted from axes alone."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx

from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.tracing import Trace
from shrinknets_core.method.layout import Layout
from shrinknets_core.sizes import Size

VIEWS = ("view", "reshape", "t", "transpose", "permute", "to", "_to_copy", "contiguous", "detach")
CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "convolution", "_convolution")
TRANSPOSED = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
PRODUCTS = ("linear", "matmul", "mm", "addmm")
RECURRENT = ("lstm", "gru", "rnn_tanh", "rnn_relu")


def uses_per_entry(traces: Iterable[Trace]) -> dict[str, float]:
    """Return for each stored weight how often each of its entries is multiplied, per example.

    1 for a linear layer on vectors, the number of output pixels for a convolution, the length of
    the sequence for a recurrent layer. Sums of several uses; weights that multiply nothing are left
    out. The batch is the first axis of the first input. Traces: of parts that don't overlap, all in
    evaluation. Products of two activations, such as
    attention's, have no weight and don't count.
    """
    result: dict[str, float] = {}
    for trace in traces:
        batch = _batch(trace)
        for node in trace.graph.nodes:
            if node.op == "placeholder" and node.name in trace.stored:
                name = trace.stored[node.name]
                uses = sum(_uses(user, source) for user, source in _consumers(node))
                if uses:
                    result[name] = result.get(name, 0) + uses / batch
    return result


class Counter:
    """Counts what lives, in one wait for the device.

    Args:
        layout: where features are.
        uses: from `uses_per_entry`.
    """

    def __init__(self, layout: Layout, uses: Mapping[str, float]) -> None:
        self._layout = layout
        self._uses = uses

    @torch.no_grad()
    def count(self) -> "Count":
        """Count living entries along each axis and living features; waits for the device once."""
        keys: list[tuple[str, int]] = []
        sums: list[Tensor] = []
        for name in self._layout.axes:
            for axis, mask in self._layout.masks(name).items():
                keys.append((name, axis))
                sums.append(mask.sum(dtype=torch.float64))
        gates = [group.filter.alive for group in self._layout.groups]
        sums.extend(alive.sum(dtype=torch.float64) for alive in gates)
        numbers = [round(x) for x in torch.stack(sums).tolist()] if sums else []
        axes = dict(zip(keys, numbers, strict=False))
        features = dict(zip(self._layout.groups, numbers[len(keys) :], strict=True))
        return Count(self._layout.parameters, self._uses, axes=axes, features=features)


class Count:
    """What lives, as numbers.

    Attributes:
        axes: living entries along each axis that holds features, by tensor and axis.
        features: of each group.
        size: of the plain network that a collection would leave.
    """

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        uses: Mapping[str, float],
        *,
        axes: dict[tuple[str, int], int],
        features: dict[Group, int],
    ) -> None:
        self.axes = axes
        self.features = features
        entries = {
            name: math.prod(axes.get((name, d), n) for d, n in enumerate(tensor.shape))
            for name, tensor in parameters.items()
        }
        macs = sum(entries[name] * uses.get(name, 0.0) for name in entries)
        self.size = Size(parameters=sum(entries.values()), macs=round(macs))
        self._physical = sum(tensor.numel() for tensor in parameters.values())

    @property
    def reclaimable(self) -> float:
        """The share of the parameters that a collection would free."""
        return 1 - self.size.parameters / self._physical if self._physical else 0.0

    @property
    def num_features(self) -> int:
        """Living features of all groups."""
        return sum(self.features.values())


def macs_per_feature(layout: Layout, uses: Mapping[str, float], group: Group) -> float:
    """Return the MACs for one example that go with one feature, all others there."""
    total = 0.0
    for name, axis, line in layout.lines(group):
        tensor = layout.parameters[name]
        size = tensor.shape[axis]
        entries = size if line.index is None else int((line.index >= 0).sum())
        total += uses.get(name, 0.0) * tensor.numel() * entries / size
    return total / group.size


def _batch(trace: Trace) -> int:
    for node in trace.graph.nodes:
        value = node.meta.get("val")
        if node.op != "placeholder" or node.name in trace.stored | trace.constants:
            continue
        if isinstance(value, Tensor) and value.dim() > 0:
            return int(value.shape[0])
    return 1


def _consumers(node: fx.Node) -> Iterable[tuple[fx.Node, fx.Node]]:
    """Follow a weight through views to the operations that compute with it."""
    for user in node.users:
        if _name(user) in VIEWS:
            yield from _consumers(user)
        else:
            yield user, node


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target)).partition(".")[0]


def _uses(node: fx.Node, weight: fx.Node) -> float:
    """Return how often an operation multiplies each entry of a weight, for the whole batch."""
    name = _name(node)
    if name in CONVOLUTIONS + TRANSPOSED and len(node.args) > 1 and node.args[1] is weight:
        source: Any = node.args[0] if name in TRANSPOSED else node
        shape = source.meta["val"].shape
        return float(math.prod(shape) / shape[1])
    if name in PRODUCTS and weight.meta["val"].dim() > 1:
        operands = [a for a in node.args if isinstance(a, fx.Node)][-2 if name == "addmm" else 0 :]
        if name == "linear":
            operands = operands[:2]
        if weight in operands:
            other = next((a for a in operands if a is not weight), weight).meta["val"]
            contracted = other.shape[-1] if operands[0] is not weight else other.shape[-2]
            return float(other.numel() / contracted)
    if name in RECURRENT and weight.meta["val"].dim() > 1:
        first: Any = node.args[0]
        value = first.meta["val"]
        return float(value.numel() / value.shape[-1])
    return 0.0
