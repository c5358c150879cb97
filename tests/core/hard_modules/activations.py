"""Linear layers and activations, some of which turn a dead feature into a constant."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, hard, normal


@hard(normal(5, 6))
class MlpRelu(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 14), nn.ReLU(), nn.Linear(14, 9, bias=False), nn.ReLU(), nn.Linear(9, 3)
        )


@hard(normal(5, 6))
class MlpSigmoid(nn.Sequential):
    """A dead feature goes on as 0.5, which the next bias can take over."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 14), nn.Sigmoid(), nn.Linear(14, 9), nn.Sigmoid(), nn.Linear(9, 3)
        )


@hard(normal(5, 6))
class SoftplusWithoutBias(nn.Sequential):
    """A dead feature is log 2, and the next layer has no bias to take it over."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 14),
            nn.Softplus(),
            nn.Linear(14, 9, bias=False),
            nn.Tanh(),
            nn.Linear(9, 3),
        )


@hard(normal(5, 6))
class LearntShift(nn.Module):
    """The constant of a dead feature is learnt and sits before the activation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 14), nn.Linear(14, 3)
        self.shift = nn.Parameter(torch.randn(14))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(functional.gelu(self.first(x) + self.shift))


@hard(normal(5, 6))
class ExpAndHardsigmoid(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 14), nn.Linear(14, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.exp(self.first(x) / 4)
        return self.third(functional.hardsigmoid(self.second(x)))


@hard(normal(5, 6))
class FourierFeatures(nn.Module):
    """cos(0) = 1 and sin(0) = 0 of the same features stand in two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.frequencies, self.out = nn.Linear(6, 12, bias=False), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        angles = 2 * math.pi * self.frequencies(x)
        return self.out(torch.cat([angles.cos(), angles.sin()], dim=-1))


@hard(normal(5, 6))
class ManyActivations(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        kinds = (
            nn.ELU,
            nn.GELU,
            nn.SiLU,
            nn.Mish,
            nn.Hardswish,
            nn.Tanh,
            nn.LeakyReLU,
            nn.Softsign,
        )
        widths = [6, 9, 10, 11, 12, 13, 14, 15, 16]
        self.layers = nn.ModuleList(
            chain(nn.Linear(a, b), kind())
            for a, b, kind in zip(widths[:-1], widths[1:], kinds, strict=True)
        )
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.out(x)
