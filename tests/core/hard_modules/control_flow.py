"""Gradients by hand, branches and loops that data decide, experts, early exits."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.core.hard_modules.catalogue import ROWS, chain, hard


class Squared(torch.autograd.Function):
    """x · |x| with a gradient by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.abs()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * gradient * x.abs()


@hard(ROWS)
class CustomFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.second(Squared.apply(self.first(x)))))


@hard(ROWS)
class DataDependentBranch(nn.Module):
    """Which layers run depends on a number that is computed from the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.positive, self.negative = nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        branch = self.positive if x.mean().item() > 0.3 else self.negative
        return self.last(torch.relu(branch(x)))


@hard(ROWS)
class LoopUntilSmall(nn.Module):
    """The number of rounds depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, rounds = torch.relu(self.first(x)), 0
        while x.norm() > 0.5 and rounds < 4:
            x, rounds = torch.relu(self.again(x)) / 2, rounds + 1
        return self.last(x)


@hard(ROWS)
class MixtureOfExperts(nn.Module):
    """Each row goes through the experts that its scores choose."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router, self.last = nn.Linear(6, 10), nn.Linear(10, 3), nn.Linear(10, 3)
        self.experts = nn.ModuleList(
            chain(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 10)) for width in (9, 12, 13)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        weights, chosen = self.router(x).softmax(-1).topk(2, dim=-1)
        mixed = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            share = (weights * (chosen == i)).sum(-1, keepdim=True)
            mixed = mixed + share * expert(x)
        return self.last(mixed)


@hard(ROWS)
class SparseMixtureOfExperts(nn.Module):
    """Rows are gathered for their expert and put back: the batch axis has data's size."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.last = nn.Linear(6, 2), nn.Linear(8, 3)
        self.experts = nn.ModuleList(
            chain(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 8)) for width in (9, 12)
        )

    def forward(self, x: Tensor) -> Tensor:
        chosen, mixed = self.router(x).argmax(-1), x.new_zeros(len(x), 8)
        for i, expert in enumerate(self.experts):
            rows = (chosen == i).nonzero().squeeze(1)
            mixed.index_add_(0, rows, expert(x[rows]))
        return self.last(mixed)


@hard(ROWS)
class EarlyExits(nn.Module):
    """Classifiers at three depths; all of their outputs are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 14), nn.Linear(14, 11), nn.Linear(11, 9)])
        self.exits = nn.ModuleList([nn.Linear(14, 3), nn.Linear(11, 3), nn.Linear(9, 3)])

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer, leave in zip(self.layers, self.exits, strict=True):
            x = torch.relu(layer(x))
            outputs.append(leave(x))
        return outputs
