"""What transformers have besides attention: gated units, patches, windows, positions."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, hard, normal


@hard(normal(2, 3, 6, 6))
class UnfoldAndFold(nn.Module):
    """Patches become columns in which the channel is the slow axis, and go back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.mix, self.last = nn.Conv2d(3, 8, 1), nn.Linear(32, 28), nn.Conv2d(7, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.unfold(torch.relu(self.stem(x)), 2, stride=2)
        x = torch.relu(self.mix(x.transpose(1, 2))).transpose(1, 2)
        return self.last(functional.fold(x, (6, 6), 2, stride=2))


@hard(normal(5, 6))
class GatedLinearUnit(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 24), nn.GLU(), nn.Linear(12, 18), nn.GLU(dim=1), nn.Linear(9, 3)
        )


@hard(normal(4, 5, 6))
class SwiGlu(nn.Module):
    """One linear layer makes gate and value; a residual stream around it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.both, self.down = nn.LayerNorm(6), nn.Linear(6, 26), nn.Linear(13, 6)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.both(self.norm(x)).chunk(2, dim=-1)
        return x + self.down(functional.silu(gate) * value)


@hard(normal(5, 6))
class Maxout(nn.Module):
    """The maximum of each three features that lie side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 30), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.last(x.view(x.shape[0], 10, 3).amax(-1))


@hard(normal(2, 3, 8, 8))
class WindowPartition(nn.Module):
    """Swin's windows: rolled, cut, mixed within a window, put back."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.down = nn.Conv2d(3, 10, 1), nn.Linear(10, 14), nn.Linear(14, 10)
        self.mix, self.merge, self.last = nn.Linear(16, 16), nn.Linear(40, 11), nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x)).permute(0, 2, 3, 1)
        windows = torch.roll(x, (-2, -2), (1, 2)).view(2, 2, 4, 2, 4, 10)
        windows = windows.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, 16, 10)
        windows = self.mix(windows.transpose(1, 2)).transpose(1, 2)
        windows = self.down(torch.relu(self.up(windows))).view(2, 2, 2, 4, 4, 10)
        x = x + torch.roll(windows.permute(0, 1, 3, 2, 4, 5).reshape(2, 8, 8, 10), (2, 2), (1, 2))
        parts = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        return self.last(torch.relu(self.merge(torch.cat(parts, dim=-1))).mean((1, 2)))


@hard(normal(2, 3, 8, 8))
class PatchesByHand(nn.Module):
    """Patches as einops would cut them: (b c (h p) (w q)) to (b (h w) (p q c))."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.embed, self.last = nn.Conv2d(3, 6, 1), nn.Linear(24, 15), nn.Linear(15, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x)).view(2, 6, 4, 2, 4, 2).permute(0, 2, 4, 3, 5, 1)
        x = torch.relu(self.embed(x.reshape(2, 16, 24)))
        return self.last(x.movedim(1, 0).mean(0))


@hard(normal(3, 9, 6))
class MlpMixer(nn.Module):
    """Mixes tokens with one perceptron and features with another."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(6, 10), nn.Linear(10, 3)
        self.norms = nn.ModuleList([nn.LayerNorm(10), nn.LayerNorm(10)])
        self.tokens = chain(nn.Linear(9, 13), nn.GELU(), nn.Linear(13, 9))
        self.features = chain(nn.Linear(10, 17), nn.GELU(), nn.Linear(17, 10))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.tokens(self.norms[0](x).transpose(1, 2)).transpose(1, 2)
        return self.last((x + self.features(self.norms[1](x))).mean(dim=1))


@hard(normal(3, 9, 6))
class PositionsAndClassToken(nn.Module):
    """A learnt token in front, learnt positions on top: both have the stream's features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.last = nn.Linear(6, 12), nn.Linear(12, 15), nn.Linear(15, 3)
        self.token = nn.Parameter(torch.randn(1, 1, 12))
        self.positions = nn.Parameter(torch.randn(1, 10, 12))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        return self.last(torch.relu(self.up(x))[:, 0])
