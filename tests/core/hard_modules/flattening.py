"""From images and tokens to flat features and back, by literal sizes or by shapes."""

import torch
from torch import Tensor, nn

from tests.core.hard_modules.catalogue import hard, normal


@hard(normal(4, 3, 7, 7))
class LiteralFlatten(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.first, self.second = (
            nn.Conv2d(3, 16, 3),
            nn.Linear(400, 12),
            nn.Linear(12, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x)).view(-1, 16 * 5 * 5)
        return self.second(torch.relu(self.first(x)))


@hard(normal(4, 3, 6, 5))
class FlattenChannelsFirst(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 10, (3, 2)),
            nn.BatchNorm2d(10),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(160, 11),
            nn.ReLU(),
            nn.Linear(11, 3),
        )


@hard(normal(4, 3, 6, 5))
class FlattenChannelsLast(nn.Module):
    """A channel's inputs to the linear layer lie apart, not side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 10, 3), nn.Linear(120, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.relu(self.conv(x)).permute(0, 2, 3, 1).flatten(1))


@hard(normal(4, 3, 6, 5))
class SigmoidFlatten(nn.Module):
    """Twelve positions of one constant go into one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 10, 3), nn.Linear(120, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.flatten(torch.sigmoid(self.conv(x)), 1))


@hard(normal(4, 12, 6))
class LiteralReshape(nn.Module):
    """Batch, tokens and features are literals, and so is the split into heads and back."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 15), nn.Linear(15, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)).reshape(4, 12, 3, 5).permute(0, 2, 1, 3)
        x = torch.relu(self.second(x.transpose(1, 2).reshape(48, 15)))
        return self.third(x.view([4, 12, 8]))


@hard(normal(4, 6))
class UnflattenAndBack(nn.Module):
    """Features become an image of 3 channels and rows of 4, of which each is convolved."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.conv, self.last = nn.Linear(6, 36), nn.Conv2d(3, 7, 1), nn.Linear(84, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)).unflatten(1, (3, 3, 4))
        return self.last(torch.relu(self.conv(x)).flatten(start_dim=1))


@hard(normal(4, 6, 5))
class SizesFromShape(nn.Module):
    """All sizes are read from shapes, so the forward adapts by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 13), nn.Linear(78, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        batch, tokens, features = x.size()
        return self.second(x.transpose(1, 2).reshape(batch, tokens * features))
