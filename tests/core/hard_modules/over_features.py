"""Functions whose value depends on all features, or on how many there are."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import ROWS, hard, normal, register


class OverFeatures(nn.Module):
    """Linear, ReLU, a function over the features, and a linear layer or not."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, width: int = 12, last: int) -> None:
        super().__init__()
        self.first, self.function = nn.Linear(6, width), function
        self.last = nn.Linear(last, 3) if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(torch.relu(self.first(x))))


for title, statistic, left, removable in [
    ("SoftmaxOverFeatures", lambda x: x.softmax(-1), 12, False),
    ("CumsumOverFeatures", lambda x: x.cumsum(1), 12, False),
    ("ArgmaxOverFeatures", lambda x: x.argmax(1), 0, False),
    ("TopkOverFeatures", lambda x: x.topk(3, dim=1).values, 3, False),
    ("SortOverFeatures", lambda x: x.sort(dim=1, descending=True).values, 12, False),
    ("NormOverFeatures", lambda x: torch.linalg.norm(x, dim=1), 0, True),
    ("NormalisedFeatures", lambda x: functional.normalize(x, dim=1), 12, True),
    ("LogsumexpOverFeatures", lambda x: torch.logsumexp(x, 1), 0, False),
    ("MeanOverFeatures", lambda x: x.mean(1), 0, False),
    ("SumOverFeatures", lambda x: x.sum(1), 0, True),
    ("ProductOverFeatures", lambda x: (x + 0.5).prod(1), 0, False),
    ("VarianceOverFeatures", lambda x: x.var(dim=1, keepdim=True) * x, 12, False),
    ("FourierOverFeatures", lambda x: torch.fft.rfft(x, dim=1).abs(), 7, False),
    ("DifferencesOfNeighbours", lambda x: x.diff(dim=1), 11, False),
]:
    build = lambda function=statistic, last=left: OverFeatures(function, last=last)  # noqa: E731
    register(title, build, ROWS, prunable=removable)


@hard(normal(4, 6, 8, 8))
class CosineScores(nn.Module):
    """Distances to prototypes: a feature that is always 0 still has a distance."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(6, 9, 3), nn.Linear(9, 12)
        self.prototypes = nn.Parameter(torch.randn(4, 12))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.linear(torch.relu(self.conv(x)).mean((2, 3)))
        cosine = functional.cosine_similarity(x[:, None], self.prototypes[None], dim=-1)
        return cosine, torch.cdist(x, self.prototypes)
