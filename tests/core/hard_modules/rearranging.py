"""Features shuffled into pixels, put side by side, split, indexed and repeated."""

import torch
from torch import Tensor, nn

from tests.core.hard_modules.catalogue import hard, head, normal


@hard(normal(3, 3, 6, 6))
class PixelShuffleUpscaler(nn.Sequential):
    """Four channels become one of twice the size."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 32, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            nn.Conv2d(8, 10, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(10, 2, 1),
        )


@hard(normal(3, 3, 6, 6))
class PixelUnshuffleStem(nn.Sequential):
    """One channel becomes four, in the input and inside."""

    def __init__(self) -> None:
        super().__init__(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, 7, 2, bias=False),
            nn.BatchNorm2d(7),
            nn.ReLU(),
            nn.PixelUnshuffle(2),
            nn.Conv2d(28, 9, 1),
            nn.ReLU(),
            head(9),
        )


@hard(normal(3, 3, 6, 6))
class CatOfBranches(nn.Module):
    """Branches of other widths, and the input itself, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 11, 3, padding=1)
        self.norm, self.last, self.head = nn.BatchNorm2d(22), nn.Conv2d(22, 9, 1), head(9)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat((self.left(x), x, self.right(x)), 1)
        return self.head(torch.relu(self.last(torch.relu(self.norm(x)))))


@hard(normal(3, 3, 6, 6))
class CatWithItself(nn.Module):
    """A stream stands twice side by side, the second time squashed."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Conv2d(3, 9, 1), nn.Conv2d(18, 10, 1), head(30)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = self.second(torch.cat([x, torch.tanh(x)], dim=1))
        return self.head(torch.relu(torch.cat([x, x, -x], dim=1)))


@hard(normal(5, 6))
class LiteralSplits(nn.Module):
    """Chunk, split, narrow and slices, all with literal sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 20), nn.Linear(8, 15), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = torch.split(torch.relu(self.first(x)), [8, 8, 4], dim=1)
        x = self.second(a * b + torch.cat([c, c], dim=1)).relu()
        left, middle, right = x[:, :5], x.narrow(1, 5, 5), x[:, 10:15]
        one, two = torch.chunk(torch.cat([left, middle[:, :4]], dim=1), 2, dim=1)
        return self.third(torch.cat([one + right, two], dim=1))


@hard(normal(5, 6))
class UnevenChunks(nn.Module):
    """chunk(4) of 14 gives 4, 4, 4, 2, and nothing says so in the code."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 14), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d = self.first(x).relu().chunk(4, dim=-1)
        return self.last(torch.cat([a * b + c, d], dim=-1))


@hard(normal(5, 6))
class UnbindAndStack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 21), nn.Linear(7, 10), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b, c = torch.relu(self.first(x)).view(-1, 3, 7).unbind(1)
        x = torch.stack([self.second(a + b), self.second(b * c)], dim=2)
        return self.last(torch.relu(x).flatten(1))


@hard(normal(5, 6))
class IndexRollFlip(nn.Module):
    """The features move about by index lists, which name them by number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(8, 9), nn.Linear(9, 3)
        self.register_buffer("chosen", torch.tensor([11, 2, 3, 5, 7, 0, 2, 9]))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.roll(x, 3, dims=1).index_select(1, self.chosen)
        x = torch.relu(self.second(x)).flip(1)
        return self.last(x[:, [8, 6, 4, 2, 0, 1, 3, 5, 7]])


@hard(normal(5, 6))
class StridedSlices(nn.Module):
    """Even and odd features part, as in rotary embeddings, and are repeated."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 16), nn.Linear(24, 10), nn.Linear(20, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.cat([x[:, ::2] - x[:, 1::2], x.view(5, 8, 2).flatten(1)], dim=1)
        return self.last(torch.relu(self.second(x)).repeat_interleave(2, dim=1))
