"""A network family of one's own: a small CNN whose second branch a job may find to be needless."""

import torch
from torch import Tensor, nn

from shrinknets_core.families import Family, Layer


class TwoBranches(nn.Module):
    """A stem, then a convolution beside a skip connection, then one hidden layer."""

    def __init__(self, channels: int, stem: int, branch: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, stem, 3, padding=1)
        if branch > 0:
            self.inner = nn.Conv2d(stem, branch, 3, padding=1)
            # Without a bias a branch whose features are all dead gives exactly zero, and can go.
            self.outer = nn.Conv2d(branch, stem, 1, bias=False)
        self.hidden = nn.Linear(stem, hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        if hasattr(self, "inner"):
            x = x + self.outer(self.inner(x).relu())
        x = torch.flatten(nn.functional.adaptive_max_pool2d(x, 1), 1)
        logits: Tensor = self.head(self.hidden(x).relu())
        return logits


def make(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> nn.Module:
    """Build the network for images (channels, height, width); widths as in the family's layers."""
    stem, branch, hidden = widths
    return TwoBranches(input_shape[0], stem, branch, hidden, num_classes)


TWO_BRANCHES = Family(
    name="two_branches",
    make=make,
    layers=(
        Layer(name="stem", full=32),
        Layer(name="branch", path="inner", full=32, least=0),
        Layer(name="hidden", full=64),
    ),
    image_side=4,
)
