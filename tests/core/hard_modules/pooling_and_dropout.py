"""Pooling and dropout, of zeros and of other constants."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import hard, head, normal


@hard(normal(3, 3, 13, 13))
class ManyPoolings(nn.Module):
    """Poolings that keep zero at zero, some with padding."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 1) for a, b in zip((3, 8, 9, 10, 11), (8, 9, 10, 11, 12), strict=True)
        )
        self.pools = nn.ModuleList(
            [
                nn.MaxPool2d(3, stride=2, padding=1),
                nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False),
                nn.LPPool2d(2, 2, stride=1),
                nn.AdaptiveMaxPool2d((3, 2)),
                nn.AdaptiveAvgPool2d((2, 1)),
            ]
        )
        self.out = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        for conv, pool in zip(self.convs, self.pools, strict=True):
            x = pool(torch.relu(conv(x)))
        return self.out(x.flatten(1))


@hard(normal(3, 3, 8, 8))
class SigmoidBeforePooling(nn.Sequential):
    """Average pooling that counts its padding makes 0.5 uneven; max pooling does not."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 9, 1),
            nn.Sigmoid(),
            nn.AvgPool2d(3, stride=2, padding=1),
            nn.Conv2d(9, 11, 1),
            nn.Sigmoid(),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(11, 7, 1),
            nn.ReLU(),
            head(7),
        )


@hard(normal(4, 3, 6, 6))
class PoolAndUnpool(nn.Module):
    """Max pooling hands its integer indices to unpooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 10, 1), nn.Conv2d(10, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x, indices = functional.max_pool2d(torch.relu(self.conv(x)), 2, return_indices=True)
        return self.last(functional.max_unpool2d(x, indices, 2))


@hard(normal(4, 3, 6, 6))
class ManyDropouts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = (
            nn.Conv2d(3, 9, 3),
            nn.Linear(144, 12),
            nn.Linear(12, 8),
        )
        self.last, self.by_channel, self.plain = nn.Linear(8, 3), nn.Dropout2d(0.3), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.by_channel(torch.relu(self.conv(x))).flatten(1)
        x = functional.dropout(torch.relu(self.first(x)), 0.2, training=self.training)
        return self.last(self.plain(torch.relu(self.second(x))))


@hard(normal(4, 6))
class DropoutOfConstants(nn.Sequential):
    """In training the constant of a dead feature is random: no bias can replace it."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 12),
            nn.Sigmoid(),
            nn.Dropout(0.4),
            nn.Linear(12, 10),
            nn.SELU(),
            nn.AlphaDropout(0.2),
            nn.Linear(10, 9),
            nn.ReLU(),
            nn.Linear(9, 3),
        )
