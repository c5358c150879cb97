"""Groups: the features that one filter gates, and every tensor that they reach."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from shrinknets_core.filters import Filter

BLOCK_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One axis of a tensor whose entries belong to the features of a group, in their order."""

    tensor: Tensor
    axis: int


@dataclass(frozen=True, kw_only=True)
class WeightSlice(Slice):
    """One axis of a weight matrix.

    Attributes:
        across: the filter of the features along the other axis, None where they have none.
    """

    across: Filter | None

    def norms(self) -> Tensor:
        """Return the Euclidean norm of each feature's weights to living features (num_features,).

        Dead features don't count, so that it is no matter when they are collected.
        """
        weight = self.tensor.detach()
        others = weight.shape[1 - self.axis]
        living = weight.new_ones(others) if self.across is None else self.across.alive
        # Blocks of rows stay in the cache: a strided reduction of a wide matrix takes ten times
        # as long on a CPU.
        blocks = torch.split(weight, BLOCK_ROWS)
        if self.axis == 0:
            return torch.cat([block.square() @ living for block in blocks]).sqrt()
        parts = zip(blocks, torch.split(living, BLOCK_ROWS), strict=True)
        return torch.stack([part @ block.square() for block, part in parts]).sum(0).sqrt()


@dataclass(frozen=True, kw_only=True)
class Group:
    """Features that live or die one by one under one filter.

    Attributes:
        name: where the features are in the model, such as `hidden.0`.
        filter: their gates.
        incoming: the weight whose rows make the features.
        outgoing: the weight whose columns read them.
        others: everything else that has an entry per feature, such as biases.
    """

    name: str
    filter: Filter
    incoming: WeightSlice
    outgoing: WeightSlice
    others: tuple[Slice, ...]

    def slices(self) -> tuple[Slice, ...]:
        """Return every axis that collection has to cut, the filter's own tensors included."""
        layer = self.filter
        notes = (layer.theta, layer.alive, layer.feature_ids, layer.floor, layer.price)
        own = tuple(Slice(tensor=tensor, axis=0) for tensor in notes)
        return (self.incoming, self.outgoing, *self.others, *own)

    def scale(self) -> Tensor:
        """Return ‖incoming‖ · ‖outgoing‖ of each feature, (num_features,).

        A gate can shrink while its weights grow and the function stays the same; the product of
        gate and scale can't.
        """
        return self.incoming.norms() * self.outgoing.norms()

    def parameters_per_feature(self) -> int:
        """Count the weights and biases that go with one feature."""
        owned = (self.incoming, self.outgoing, *self.others)
        return sum(part.tensor.numel() // part.tensor.shape[part.axis] for part in owned)


def num_alive(groups: Iterable[Group]) -> tuple[int, ...]:
    """Count the living features of each group, waiting for the device once."""
    counts = [group.filter.alive.count_nonzero() for group in groups]
    return tuple(torch.stack(counts).tolist()) if counts else ()
