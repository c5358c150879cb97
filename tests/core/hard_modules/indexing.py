"""Complex and integer numbers, writes in place, gathers and scatters, sampling."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import ROWS, each, hard, normal


@hard(normal(3, 8, 6))
class ComplexNumbers(nn.Module):
    """FNet mixes tokens and features by Fourier transform; then a complex weight per feature."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.up, self.last = nn.Linear(6, 10), nn.Linear(10, 13), nn.Linear(13, 3)
        self.filter = nn.Parameter(torch.randn(5, 13, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.fft.fft2(self.stem(x)).real
        x = torch.relu(self.up(x))
        spectrum = torch.fft.rfft(x, dim=1) * torch.view_as_complex(self.filter)
        return self.last(torch.fft.irfft(spectrum, n=8, dim=1))


@hard(ROWS)
class IntegerPath(nn.Module):
    """Features are rounded to integers, which look up rows of an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.embedding = nn.Linear(6, 9), nn.Embedding(8, 11)
        self.last = nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        buckets = (torch.relu(self.first(x)) * 2).long().clamp(0, 7)
        return self.last(torch.relu(self.embedding(buckets).sum(1)))


@hard(ROWS)
class InPlaceOperations(nn.Module):
    """Written into by slices and masks, clamped and multiplied in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 10), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x[:, ::2] *= 2
        x[:, 8:].add_(1.0)
        y = self.second(x.relu_()).mul_(0.5)
        y[y < -0.2] = 0
        return self.last(y.clamp_(-1, 1))


@hard(normal(3, 4, 6))
class WrittenIntoZeros(nn.Module):
    """Results are copied into places of a new tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(6, 7), nn.Linear(6, 9), nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = x.new_zeros(3, 4, 18)
        y[..., :7] = torch.relu(self.left(x))
        y[..., 9:] = torch.tanh(self.right(x))
        return self.last(y)


@hard(each(normal(3, 6, 5), lambda: torch.tensor([[0, 1, 2, 3, 4, 5, 1], [1, 2, 3, 4, 5, 0, 4]])))
class GraphConvolution(nn.Module):
    """Messages along edges: gather by index, scatter by sum, then by mean."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(5, 12), nn.Linear(24, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x, (source, target) = torch.relu(self.first(x)), edges
        total = torch.zeros_like(x).index_add(1, target, x[:, source])
        x = torch.relu(self.second(torch.cat([x, total], dim=-1)))
        places = target[None, :, None].expand(3, -1, 9)
        return self.last(torch.zeros_like(x).scatter_add(1, places, x[:, source]))


@hard(each(normal(3, 2, 6, 6), normal(3, 4, 4, 2)))
class GridSampling(nn.Module):
    """Features are sampled at places that the other input names, between pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = (
            nn.Conv2d(2, 9, 1),
            nn.Conv2d(9, 11, 1),
            nn.Conv2d(11, 3, 1),
        )

    def forward(self, x: Tensor, grid: Tensor) -> Tensor:
        x = functional.grid_sample(torch.relu(self.first(x)), grid.tanh(), align_corners=False)
        x = functional.interpolate(torch.relu(self.second(x)), scale_factor=2, mode="nearest")
        return self.last(x)
