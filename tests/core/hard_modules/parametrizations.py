"""Weights computed from others: norms, parametrizations, low-rank adapters."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

from tests.core.hard_modules.catalogue import hard, head, normal


@hard(normal(5, 6))
class WeightNormed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            parametrizations.weight_norm(nn.Linear(6, 12)),
            nn.ReLU(),
            parametrizations.weight_norm(nn.Linear(12, 9), dim=0),
            nn.ReLU(),
            nn.Linear(9, 3),
        )


@hard(normal(4, 3, 6, 6))
class WeightNormedOld(nn.Sequential):
    """The old way: a hook computes the weight before each forward."""

    def __init__(self) -> None:
        super().__init__(
            weight_norm(nn.Conv2d(3, 10, 3)),
            nn.ReLU(),
            weight_norm(nn.Conv2d(10, 8, 1)),
            nn.ReLU(),
            head(8),
        )


@hard(normal(5, 6))
class SpectralNormed(nn.Sequential):
    """Divided by the largest singular value, which all features share."""

    def __init__(self) -> None:
        super().__init__(
            parametrizations.spectral_norm(nn.Linear(6, 12)),
            nn.ReLU(),
            spectral_norm(nn.Linear(12, 9)),
            nn.ReLU(),
            nn.Linear(9, 8),
            nn.ReLU(),
            nn.Linear(8, 3),
        )


class Softened(nn.Module):
    """A parametrization that keeps weights positive."""

    def forward(self, weight: Tensor) -> Tensor:
        return functional.softplus(weight) / 4


class Symmetric(nn.Module):
    """A parametrization that ties rows to columns."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


@hard(normal(5, 6))
class Parametrized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.turned = parametrizations.orthogonal(nn.Linear(12, 12))
        parametrize.register_parametrization(self.first, "weight", Softened())
        parametrize.register_parametrization(self.middle, "weight", Symmetric())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.middle(torch.relu(self.first(x))))
        return self.last(torch.relu(self.turned(x)))


@hard(normal(5, 6))
class LowRankAdapter(nn.Module):
    """A frozen weight plus a learnt one of low rank, on the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.base.requires_grad_(requires_grad=False)
        self.down, self.up = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.base.weight + self.up @ self.down
        return self.last(torch.relu(functional.linear(x, weight, self.base.bias)))
