"""Convolutions: padding around constants, transposed, depthwise, grouped, of one channel."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, hard, head, normal


@hard(normal(3, 3, 8, 8))
class SigmoidBeforeZeroPadding(nn.Module):
    """0.5 inside, 0 in the padding: no bias of the second convolution can replace that."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3)
        self.second, self.head = nn.Conv2d(12, 9, 3, padding=1), head(9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.sigmoid(self.first(x)))))


@hard(normal(3, 3, 8, 8))
class CosBeforeValidConvolution(nn.Module):
    """Without padding the constant can move to the bias, summed over the kernel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3)
        self.second, self.head = nn.Conv2d(12, 9, 3, stride=2), head(9)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.cos(self.first(x)))))


@hard(normal(3, 3, 8, 8))
class SoftplusBeforeReflection(nn.Sequential):
    """Reflected and circular padding keep a constant constant, zero padding does not."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 3),
            nn.Softplus(),
            nn.Conv2d(12, 9, 3, padding=1, padding_mode="reflect", bias=False),
            nn.Softplus(),
            nn.Conv2d(9, 10, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            head(10),
        )


@hard(normal(3, 3, 9, 9))
class SigmoidBeforeExplicitPad(nn.Module):
    """F.pad puts zeros, then ones, around the constant."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 12, 3), nn.Conv2d(12, 9, 3), nn.Conv2d(9, 7, 3)])
        self.head = head(7)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.pad(torch.sigmoid(self.convs[0](x)), (1, 1, 1, 1))
        x = functional.pad(torch.relu(self.convs[1](x)), (0, 1, 1, 0), value=1.0)
        return self.head(torch.relu(self.convs[2](x)))


@hard(normal(3, 2, 15))
class Conv1dNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv1d(2, 10, 3, dilation=2),
            nn.BatchNorm1d(10),
            nn.ReLU(),
            nn.Conv1d(10, 13, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(39, 3),
        )


@hard(normal(3, 3, 9, 9))
class Conv2dNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 10, 3, padding="same", dilation=2),
            nn.BatchNorm2d(10),
            nn.ReLU(inplace=True),
            nn.Conv2d(10, 13, (1, 3), stride=2, bias=False),
            nn.BatchNorm2d(13),
            nn.ReLU(inplace=True),
            head(13),
        )


@hard(normal(2, 2, 5, 6, 7))
class Conv3dNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv3d(2, 9, 3, padding=1),
            nn.BatchNorm3d(9),
            nn.ReLU(),
            nn.MaxPool3d(2),
            nn.Conv3d(9, 11, (1, 2, 3), groups=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((1, 2, 1)),
            nn.Flatten(),
            nn.Linear(22, 4),
        )


@hard(normal(3, 5, 6))
class ConvTranspose1dNet(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.ConvTranspose1d(5, 12, 3, stride=2),
            nn.ReLU(),
            nn.ConvTranspose1d(12, 10, 2, bias=False),
            nn.BatchNorm1d(10),
            nn.ReLU(),
            nn.Conv1d(10, 2, 1),
        )


@hard(normal(3, 3, 5, 5))
class ConvTranspose2dGroups(nn.Sequential):
    """Groups cut the output axis of the weight, not the first one."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 1),
            nn.ReLU(),
            nn.ConvTranspose2d(12, 16, 3, stride=2, padding=1, output_padding=1, groups=4),
            nn.ReLU(),
            nn.ConvTranspose2d(16, 16, 2, groups=16),
            nn.ReLU(),
            nn.Conv2d(16, 3, 1),
        )


@hard(normal(3, 3, 5, 5))
class SigmoidBeforeConvTranspose(nn.Sequential):
    """A transposed convolution spreads a constant unevenly at the border."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 1),
            nn.Sigmoid(),
            nn.ConvTranspose2d(12, 10, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(10, 2, 1),
        )


@hard(normal(3, 3, 8, 8))
class DepthwiseSeparable(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 3, padding=1, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU6(),
            nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False),
            nn.BatchNorm2d(12),
            nn.ReLU6(),
            nn.Conv2d(12, 17, 1, bias=False),
            nn.BatchNorm2d(17),
            nn.ReLU6(),
            head(17),
        )


@hard(normal(3, 3, 7, 7))
class DepthwiseMultiplier(nn.Sequential):
    """Each input channel of the depthwise convolution has three outputs."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 24, 3, groups=8), nn.ReLU(), head(24)
        )


@hard(normal(3, 3, 7, 7))
class SigmoidBeforeDepthwise(nn.Sequential):
    """The depthwise outputs of a dead channel are constants that are not those of the channel."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 1),
            nn.Sigmoid(),
            nn.Conv2d(12, 12, 3, groups=12),
            nn.Hardswish(),
            nn.Conv2d(12, 7, 1),
            nn.ReLU(),
            head(7),
        )


@hard(normal(3, 3, 7, 7))
class GroupedConvolution(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 1),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3, padding=1, groups=4),
            nn.BatchNorm2d(24),
            nn.ReLU(),
            nn.Conv2d(24, 12, 1, groups=2),
            nn.ReLU(),
            head(12),
        )


def shuffle(x: Tensor, groups: int) -> Tensor:
    """Interleave the channels of the groups, as ShuffleNet does."""
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width)
    return x.transpose(1, 2).contiguous().view(batch, channels, height, width)


@hard(normal(3, 3, 6, 6))
class GroupedBehindShuffle(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 12, 1), head(24)
        self.first = nn.Conv2d(12, 18, 1, groups=3)
        self.second = nn.Conv2d(18, 24, 3, padding=1, groups=3)

    def forward(self, x: Tensor) -> Tensor:
        x = shuffle(torch.relu(self.first(torch.relu(self.stem(x)))), 3)
        return self.head(torch.relu(self.second(x)))


@hard(normal(3, 3, 6, 6))
class ChannelShuffleLayer(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 12, 1),
            nn.ReLU(),
            nn.ChannelShuffle(4),
            nn.Conv2d(12, 8, 1),
            nn.ReLU(),
            head(8),
        )


@hard(normal(3, 4, 6, 6))
class ShuffleNetUnit(nn.Module):
    """Half of the stream passes, half is worked on, then both are interleaved, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(4, 12, 1), head(12)
        self.branches = nn.ModuleList(
            chain(
                nn.Conv2d(6, 10, 1),
                nn.ReLU(),
                nn.Conv2d(10, 10, 3, padding=1, groups=10),
                nn.Conv2d(10, 6, 1),
                nn.ReLU(),
            )
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        for branch in self.branches:
            kept, worked = x.chunk(2, dim=1)
            x = shuffle(torch.cat([kept, branch(worked)], dim=1), 2)
        return self.head(x)


@hard(normal(3, 1, 7, 7))
class OneChannelConvolutions(nn.Sequential):
    """Convolutions with one channel look depthwise and are not."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 1, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(1, 8, 3),
            nn.ReLU(),
            nn.Conv2d(8, 1, 1),
            nn.Tanh(),
            nn.Conv2d(1, 10, 3),
            nn.ReLU(),
            nn.Conv2d(10, 1, 1),
        )


@hard(normal(5, 6))
class WidthOne(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 1),
            nn.ELU(),
            nn.Linear(1, 11),
            nn.ELU(),
            nn.Linear(11, 1),
            nn.BatchNorm1d(1),
        )
