"""Modules that recompute, count, check or hold something of their own, or add noise."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from tests.core.hard_modules.catalogue import ROWS, chain, hard


@hard(ROWS)
class Checkpointed(nn.Module):
    """The middle is computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(9, 3)
        self.middle = chain(nn.ReLU(), nn.Linear(12, 14), nn.ReLU(), nn.Linear(14, 9), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.middle, self.first(x), use_reentrant=False))


@hard(ROWS)
class CountsItsCalls(nn.Module):
    """Keeps a Python number and a running mean of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.calls = nn.Linear(6, 12), nn.Linear(12, 3), 0
        self.register_buffer("average", torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = torch.relu(self.first(x))
        if self.training:
            self.average.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return self.last(x - self.average)


@hard(ROWS)
class ChecksItsWidth(nn.Module):
    """Asserts a literal width and hands its configured one on, as library code does."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.first = 12, nn.Linear(6, 12)
        self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        if x.shape[-1] != self.hidden:
            raise ValueError(f"expected {self.hidden} features, got {x.shape[-1]}")
        return self.last(x.reshape(-1, self.hidden))


@hard(ROWS)
class TensorAttribute(nn.Module):
    """A plain tensor, neither buffer nor parameter, has the features' size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.temperature = torch.linspace(0.5, 2.0, 12, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)) * self.temperature)


@hard(ROWS)
class NoiseInTraining(nn.Module):
    """One random number per row in training; the features' own would change with their number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        inner = torch.relu(self.second(x))
        if self.training:
            inner = inner * torch.empty(len(x), 1).bernoulli_(0.7) / 0.7
        return self.last(x + inner)
