"""Buffers and inputs that scale, choose or mask features."""

import torch
from torch import Tensor, nn

from tests.core.hard_modules.catalogue import each, hard, head, normal


@hard(normal(3, 3, 6, 6))
class FeatureBuffers(nn.Module):
    """Buffers with one number per feature scale, shift and mask it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 12, 3), head(12)
        self.register_buffer("scale", torch.rand(12, 1, 1) + 0.5)
        self.register_buffer("shift", torch.randn(1, 12, 1, 1), persistent=False)
        self.register_buffer("mask", torch.arange(12) % 3 != 0)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x) * self.scale + self.shift)
        return self.head(x * self.mask[:, None, None])


@hard(normal(5, 6))
class WhereOnBuffers(nn.Module):
    """A buffer chooses, feature by feature, between two activations, or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 13), nn.Linear(13, 10), nn.Linear(10, 3)
        self.register_buffer("choice", torch.arange(13) % 2 == 0)
        self.register_buffer("blocked", torch.arange(10) % 4 == 0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = torch.where(self.choice, torch.relu(x), torch.sigmoid(x))
        return self.last(torch.tanh(self.second(x)).masked_fill(self.blocked, 1.5))


@hard(each(normal(5, 6), lambda: torch.tensor([True, False, True, True, False])))
class MaskedByInput(nn.Module):
    """What a mask in the inputs blocks becomes a constant, in all features alike."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 13), nn.Linear(13, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = torch.relu(self.first(x)) * mask.unsqueeze(1)
        x = self.second(x).masked_fill(~mask[:, None], -1.0)
        return self.last(torch.where(x > 0, x, x / 4))
