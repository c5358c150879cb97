"""Small modules that are hard to shrink, each with example inputs. A catalogue, hence so long.

Widths differ within a module, so that a mix-up shows as a wrong shape. Factories seed themselves:
two calls give equal modules, with float64 weights and random biases and running statistics.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from tests.core.exactness import Inputs, randomise

Builder = Callable[[], nn.Module]
InputsFactory = Callable[[], Inputs]
Made = TypeVar("Made", bound=type[nn.Module])


@dataclass(frozen=True, kw_only=True)
class HardModule:
    """A module's factory and its example inputs.

    `prunable` is False where no feature at all can be removed without changing the outputs.
    """

    name: str
    make: Builder
    make_inputs: InputsFactory
    prunable: bool

    def build(self) -> nn.Module:
        seed = crc32(self.name.encode())
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.manual_seed(seed)
            model = self.make().double()
        randomise(model, seed)
        return model

    def inputs(self) -> Inputs:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(crc32(self.name.encode()) + 1)
            return self.make_inputs()


CATALOGUE: dict[str, HardModule] = {}


def register(
    name: str, make: Builder, make_inputs: InputsFactory, *, prunable: bool = True
) -> None:
    """Add a module to the catalogue under a name that no other has."""
    assert name not in CATALOGUE, name
    CATALOGUE[name] = HardModule(name=name, make=make, make_inputs=make_inputs, prunable=prunable)


def hard(make_inputs: InputsFactory, *, prunable: bool = True) -> Callable[[Made], Made]:
    """Register the decorated class, built without arguments, under its own name."""

    def decorate(cls: Made) -> Made:
        register(cls.__name__, cls, make_inputs, prunable=prunable)
        return cls

    return decorate


def normal(*shape: int) -> InputsFactory:
    """Normal numbers of this shape, float64."""
    return lambda: torch.randn(*shape, dtype=torch.float64)


def integers(high: int, *shape: int) -> InputsFactory:
    """Integers below `high`."""
    return lambda: torch.randint(high, shape)


def each(*factories: InputsFactory) -> InputsFactory:
    """A tuple of positional inputs."""
    return lambda: tuple(factory() for factory in factories)


def named(**factories: InputsFactory) -> InputsFactory:
    """A dict of keyword inputs."""
    return lambda: {name: factory() for name, factory in factories.items()}


class Apply(nn.Module):
    """Applies a function without parameters."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def chain(*layers: nn.Module | Callable[[Tensor], Tensor]) -> nn.Sequential:
    """An nn.Sequential in which plain functions may stand, too."""
    return nn.Sequential(
        *(layer if isinstance(layer, nn.Module) else Apply(layer) for layer in layers)
    )


def head(width: int, classes: int = 3) -> nn.Sequential:
    """Pool an image to one number per channel and classify."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


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


def normed(norm: Callable[[int], nn.Module], *, width: int = 12) -> Builder:
    """Convolution, norm, activation twice: the second norm has one feature more."""

    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, width, 3, bias=False),
            norm(width),
            nn.ReLU(),
            nn.Conv2d(width, width + 4, 1),
            norm(width + 4),
            nn.ReLU(),
            head(width + 4),
        )

    return make


IMAGES = normal(4, 3, 6, 6)
register("BatchNormAffine", normed(nn.BatchNorm2d), IMAGES)
register("BatchNormWithoutAffine", normed(lambda n: nn.BatchNorm2d(n, affine=False)), IMAGES)
register(
    "BatchNormWithoutStatistics",
    normed(lambda n: nn.BatchNorm2d(n, track_running_stats=False)),
    IMAGES,
)
register("BatchNormCumulative", normed(lambda n: nn.BatchNorm2d(n, momentum=None)), IMAGES)
register("GroupNormPairs", normed(lambda n: nn.GroupNorm(n // 2, n)), IMAGES)
register("GroupNormQuarters", normed(lambda n: nn.GroupNorm(4, n)), IMAGES)
register("GroupNormSingleChannels", normed(lambda n: nn.GroupNorm(n, n)), IMAGES)
register("InstanceNorm", normed(nn.InstanceNorm2d), IMAGES)
register(
    "InstanceNormAffineTracked",
    normed(lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True)),
    IMAGES,
)


@hard(normal(4, 3, 6, 6))
class LocalResponseNorm(nn.Sequential):
    """Each channel is divided by what its neighbours are: removing one changes who they are."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 11, 3),
            nn.ReLU(),
            nn.LocalResponseNorm(5),
            nn.Conv2d(11, 8, 1),
            nn.ReLU(),
            head(8),
        )


@hard(normal(5, 6))
class BatchNorm1dMlp(nn.Sequential):
    """The second norm comes after the activation, so its constant is not zero."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(6, 14),
            nn.BatchNorm1d(14),
            nn.ReLU(),
            nn.Linear(14, 9),
            nn.ReLU(),
            nn.BatchNorm1d(9),
            nn.Linear(9, 3),
        )


class BatchNormFirst(nn.Module):
    """A norm straight on the input, then pre-activation order: norm, activation, convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(10), nn.BatchNorm2d(13)])
        self.convs = nn.ModuleList([nn.Conv2d(3, 10, 3), nn.Conv2d(10, 13, 3, padding=1)])
        self.head = head(13)

    def forward(self, x: Tensor) -> Tensor:
        for norm, conv in zip(self.norms, self.convs, strict=False):
            x = conv(torch.relu(norm(x)))
        return self.head(self.norms[2](x))


register("BatchNormFirst", BatchNormFirst, IMAGES)


@hard(normal(4, 3, 6, 6))
class FrozenBatchNorm(nn.Module):
    """The norm neither learns nor follows the batch, also in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12), head(12)
        self.norm.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> "FrozenBatchNorm":
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.norm(self.conv(x))))


@hard(normal(4, 3, 6, 6))
class BatchNormByHand(nn.Module):
    """F.batch_norm on buffers and parameters that carry other names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 12, 3), head(12)
        self.gain, self.offset = nn.Parameter(torch.ones(12)), nn.Parameter(torch.zeros(12))
        self.register_buffer("centre", torch.randn(12))
        self.register_buffer("spread", torch.rand(12) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.batch_norm(
            self.conv(x), self.centre, self.spread, self.gain, self.offset, training=self.training
        )
        return self.head(torch.relu(x))


@hard(normal(4, 5, 6))
class LayerNormMlp(nn.Module):
    """Statistics over the features before the norm; those inside the second pair are free."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(6, 14), nn.LayerNorm(14)
        self.second, self.third = nn.Linear(14, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(torch.relu(self.second(self.norm(self.first(x)))))


@hard(normal(4, 3, 6, 6))
class LayerNormOverImage(nn.Sequential):
    """One norm over channels, height and width, with weights of that shape."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 10, 3),
            nn.LayerNorm((10, 4, 4)),
            nn.ReLU(),
            nn.Conv2d(10, 8, 3),
            nn.LayerNorm([2, 2]),
            nn.ReLU(),
            head(8),
        )


@hard(normal(4, 3, 6, 6))
class LayerNormChannelsLast(nn.Module):
    """ConvNeXt's block: depthwise, channels last, norm, inverted bottleneck, scale, residual."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 2, stride=2), head(8)
        self.depthwise, self.norm = nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.LayerNorm(8)
        self.up, self.down = nn.Linear(8, 20), nn.Linear(20, 8)
        self.scale = nn.Parameter(1e-6 * torch.ones(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.scale * self.down(functional.gelu(self.up(inner)))
        return self.head(x + inner.permute(0, 3, 1, 2))


@hard(normal(4, 6))
class RmsNormByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(6, 14), nn.Linear(14, 9), nn.Linear(9, 3)
        self.gain = nn.Parameter(torch.ones(14))
        self.norm = nn.RMSNorm(9)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.gain
        return self.third(self.norm(torch.relu(self.second(torch.relu(x)))))


@hard(normal(4, 3, 6, 6))
class BypassAroundNorm(nn.Module):
    """The convolution is read both before and after its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12)
        self.left, self.right, self.head = nn.Conv2d(12, 7, 1), nn.Conv2d(12, 7, 1), head(7)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return self.head(torch.relu(self.left(torch.sigmoid(x)) + self.right(self.norm(x).relu())))


@hard(normal(4, 3, 6, 6))
class SharedPrelu(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 11, 3), nn.PReLU(), nn.Conv2d(11, 8, 1), nn.PReLU(), head(8))


@hard(normal(4, 3, 6, 6))
class PreluPerChannel(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 11, 3), nn.PReLU(11), nn.Conv2d(11, 8, 1), nn.PReLU(8, init=0.1), head(8)
        )


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


@hard(integers(11, 4, 7))
class EmbeddingMean(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.first = nn.Embedding(11, 12, padding_idx=0), nn.Linear(12, 9)
        self.last = nn.Linear(9, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(self.embedding(tokens).mean(1))))


@hard(each(integers(11, 13), lambda: torch.tensor([0, 3, 7])))
class EmbeddingBags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean, self.sum = nn.EmbeddingBag(11, 12), nn.EmbeddingBag(11, 12, mode="sum")
        self.most, self.last = nn.EmbeddingBag(11, 9, mode="max"), nn.Linear(21, 3)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        both = self.mean(tokens, offsets) * torch.tanh(self.sum(tokens, offsets))
        return self.last(torch.cat([both, self.most(tokens, offsets)], dim=1))


@hard(integers(11, 4, 7))
class EmbeddingBagOfRows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag, self.last = nn.EmbeddingBag(11, 12, mode="mean"), nn.Linear(12, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.last(torch.tanh(self.bag(tokens)))


@hard(integers(11, 4, 7))
class TiedEmbedding(nn.Module):
    """The output layer is the embedding: its features are removable, its rows are not."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.up, self.down = (
            nn.Embedding(11, 12),
            nn.Linear(12, 17),
            nn.Linear(17, 12),
        )
        self.out = nn.Linear(12, 11, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        return self.out(x + self.down(torch.relu(self.up(x))))


@hard(normal(5, 7))
class TiedAutoencoder(nn.Module):
    """Encoder and decoder share two weights, the decoder transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.outer = nn.Parameter(torch.randn(13, 7) / 3)
        self.inner = nn.Parameter(torch.randn(9, 13) / 3)
        self.biases = nn.ParameterList([torch.zeros(13), torch.zeros(9), torch.zeros(13)])

    def forward(self, x: Tensor) -> Tensor:
        code = torch.relu(functional.linear(x, self.outer, self.biases[0]))
        code = torch.tanh(functional.linear(code, self.inner, self.biases[1]))
        code = torch.relu(functional.linear(code, self.inner.t(), self.biases[2]))
        return code @ self.outer


@hard(normal(5, 6))
class CalledTwice(nn.Module):
    """One module in two places: its features live or die in both."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.again = chain(nn.Linear(12, 12), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.last(self.again(self.again(x)))


@hard(each(normal(4, 6), normal(4, 6)))
class Siamese(nn.Module):
    """One encoder for two inputs, then a distance over its features."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = chain(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU())

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return (self.encoder(left) - self.encoder(right)).abs().sum(-1)


@hard(normal(5, 6))
class OneModuleTwoNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 12)
        self.alias, self.norm = self.first, nn.BatchNorm1d(12)
        self.stages = nn.ModuleDict({"first": self.first, "last": nn.Linear(12, 3)})

    def forward(self, x: Tensor) -> Tensor:
        return self.stages["last"](torch.relu(self.norm(self.alias(x))))


@hard(normal(5, 6))
class UnusedParts(nn.Module):
    """A layer that is never called, and features that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused, self.last = nn.Linear(6, 15), nn.Linear(15, 9), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x))[:, :10])


@hard(normal(5, 6))
class RawMatmul(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.randn(6, 14)), nn.Parameter(torch.randn(14, 9))
        self.bias, self.last = nn.Parameter(torch.randn(9)), nn.Parameter(torch.randn(9, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(x @ self.first)
        x = torch.relu(torch.addmm(self.bias, x, self.second))
        return torch.matmul(self.last.t(), x.t()).t()


@hard(normal(5, 6))
class FunctionalLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.bias = nn.Parameter(torch.randn(14, 6)), nn.Parameter(torch.zeros(14))
        self.last = nn.Parameter(torch.randn(3, 14))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x, self.first, self.bias)
        return functional.linear(functional.silu(x), self.last)


@hard(normal(4, 5, 6))
class EinsumSpellings(nn.Module):
    """Weights before and after, both orientations, an ellipsis, a broadcast product."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(6, 14), (11, 14), (11, 3, 5), (3, 5, 10), (10,), (10, 4)]
        self.weights = nn.ParameterList([torch.randn(shape) / 3 for shape in shapes])

    def forward(self, x: Tensor) -> Tensor:
        weights = self.weights
        x = torch.relu(torch.einsum("bni,io->bno", x, weights[0]))
        x = torch.relu(torch.einsum("oi,bni->bno", weights[1], x))
        x = torch.relu(torch.einsum("...d,dhe->...he", x, weights[2]))
        x = torch.relu(torch.einsum("bnhe, heo -> bno", x, weights[3]))
        x = torch.einsum("bno,o->bno", x, weights[4])
        return torch.einsum("bno,oc->bc", x, weights[5])


@hard(normal(4, 5, 6))
class BmmExpanded(nn.Module):
    """One matrix for all rows of the batch, expanded, and one matrix per token."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.randn(6, 13) / 3)
        self.per_token = nn.Parameter(torch.randn(5, 13, 9) / 3)
        self.last = nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.bmm(x, self.shared.unsqueeze(0).expand(x.shape[0], -1, -1)).relu()
        x = torch.bmm(x.transpose(0, 1), self.per_token).relu()
        return self.last(x.transpose(0, 1))


@hard(normal(4, 6))
class ParameterLists(nn.Module):
    """Layers whose parameters sit in a list and a dict."""

    def __init__(self) -> None:
        super().__init__()
        widths = (6, 13, 10, 3)
        self.weights = nn.ParameterList(torch.randn(a, b) / 2 for a, b in pairwise(widths))
        self.shifts = nn.ParameterDict({"0": torch.zeros(13), "1": torch.zeros(10)})

    def forward(self, x: Tensor) -> Tensor:
        for i, weight in enumerate(self.weights):
            x = x @ weight
            if str(i) in self.shifts:
                x = torch.relu(x + self.shifts[str(i)])
        return x


@hard(normal(3, 3, 7, 7))
class FunctionalConv(nn.Module):
    """A raw kernel, used twice with different dilation, as in tridents."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel, self.bias = (
            nn.Parameter(torch.randn(12, 3, 3, 3)),
            nn.Parameter(torch.zeros(12)),
        )
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        near = functional.conv2d(x, self.kernel, self.bias, padding=1)
        far = functional.conv2d(x, self.kernel, self.bias, padding=2, dilation=2)
        return self.last(torch.relu(near) + torch.relu(far))


@hard(normal(3, 3, 7, 7))
class StandardisedConv(nn.Module):
    """The kernel is normalised per output channel in each forward, as in NFNets and BiT."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.kernel = nn.Conv2d(3, 11, 1), nn.Parameter(torch.randn(12, 11, 3, 3))
        self.gain, self.last = nn.Parameter(torch.ones(12, 1, 1, 1)), nn.Conv2d(12, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.kernel, dim=(1, 2, 3), keepdim=True)
        kernel = self.gain * (self.kernel - mean) * torch.rsqrt(variance + 1e-5)
        return self.last(torch.relu(functional.conv2d(torch.relu(self.stem(x)), kernel)))


@hard(each(normal(4, 5), normal(4, 6)))
class BilinearLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(5, 9), nn.Linear(6, 11)
        self.bilinear, self.last = nn.Bilinear(9, 11, 8), nn.Linear(8, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        x = self.bilinear(torch.relu(self.left(left)), torch.relu(self.right(right)))
        return self.last(torch.relu(x))


@hard(each(normal(4, 5), normal(4, 6)))
class OuterProduct(nn.Module):
    """A feature of either side is a whole row or column of what is flattened."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(5, 7), nn.Linear(6, 9), nn.Linear(63, 3)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        left, right = torch.relu(self.left(left)), torch.relu(self.right(right))
        return self.last((left.unsqueeze(2) * right.unsqueeze(1)).flatten(1))


@hard(each(normal(4, 6), normal(4, 5)))
class HyperNetwork(nn.Module):
    """One layer computes another's weight: its outputs are places in a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.weights = nn.Linear(6, 7), nn.Linear(5, 63)
        self.last = nn.Linear(9, 3)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        weight = self.weights(condition).view(-1, 9, 7)
        x = torch.bmm(weight, torch.relu(self.first(x)).unsqueeze(-1)).squeeze(-1)
        return self.last(torch.relu(x))


@hard(each(normal(4, 3, 5, 5), normal(4, 6)))
class FeatureWiseModulation(nn.Module):
    """FiLM: another input gives each channel's factor and shift."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 10, 3), nn.BatchNorm2d(10, affine=False)
        self.condition, self.head = nn.Linear(6, 20), head(10)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        factor, shift = self.condition(condition)[:, :, None, None].chunk(2, dim=1)
        return self.head(torch.relu(self.norm(self.conv(x)) * (1 + factor) + shift))


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


@hard(normal(5, 6))
class ResidualSpellings(nn.Module):
    """Five ways to add to a stream; the widths inside each branch differ."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(6, 10), nn.Linear(10, 3)
        self.branches = nn.ModuleList(
            chain(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 10))
            for width in (12, 13, 14, 15, 16)
        )

    def forward(self, x: Tensor) -> Tensor:
        first, second, third, fourth, fifth = self.branches
        x = self.stem(x)
        x = x + first(x)
        y = second(x)
        y += x
        x = torch.add(y, third(y), alpha=0.5)
        x = fourth(x).add_(x, alpha=-2)
        return self.last(torch.relu(x - fifth(x)))


@hard(normal(3, 3, 8, 8))
class ResNetStages(nn.Module):
    """A block that keeps the stream, then one that halves it behind a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = chain(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.keep, self.halve = self.body(8, 11, 8, 1), self.body(8, 13, 14, 2)
        self.project = chain(nn.Conv2d(8, 14, 1, stride=2, bias=False), nn.BatchNorm2d(14))
        self.head = head(14)

    @staticmethod
    def body(inputs: int, middle: int, outputs: int, stride: int) -> nn.Module:
        return chain(
            nn.Conv2d(inputs, middle, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(inplace=True),
            nn.Conv2d(middle, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.keep(x))
        x = torch.relu_(self.project(x) + self.halve(x))
        return self.head(x)


@hard(normal(3, 3, 8, 8))
class PaddedShortcut(nn.Module):
    """ResNet's parameter-free shortcut: strided, with zeros for the new channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.body = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 13, 3, stride=2, padding=1)
        self.head = head(13)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        shortcut = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3))
        return self.head(torch.relu(self.body(x) + shortcut))


@hard(normal(3, 3, 8, 8))
class InvertedResiduals(nn.Module):
    """MobileNetV3's block: expand, depthwise, squeeze and excite, project, add."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = chain(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.expand = chain(nn.Conv2d(8, 20, 1, bias=False), nn.BatchNorm2d(20), nn.Hardswish())
        self.depthwise = chain(nn.Conv2d(20, 20, 3, padding=1, groups=20), nn.BatchNorm2d(20))
        self.squeeze = chain(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(20, 6, 1), nn.ReLU(), nn.Conv2d(6, 20, 1)
        )
        self.project = chain(nn.Conv2d(20, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = head(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = functional.hardswish(self.depthwise(self.expand(x)))
        inner = inner * functional.hardsigmoid(self.squeeze(inner))
        return self.head(x + self.project(inner))


@hard(normal(3, 3, 6, 6))
class SqueezeAndExcite(nn.Module):
    """Channel gates from linear layers, brought back to the image with view."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 12, 3), head(12)
        self.down, self.up = nn.Linear(12, 5), nn.Linear(5, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(x))
        batch, channels, _, _ = x.shape
        gate = torch.sigmoid(self.up(torch.relu(self.down(x.mean((2, 3))))))
        return self.head(x * gate.view(batch, channels, 1, 1).expand_as(x))


@hard(normal(3, 3, 6, 6))
class EfficientChannelAttention(nn.Module):
    """A one-dimensional convolution slides over the channels, so neighbours matter."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 9, 1), nn.Conv2d(9, 12, 3)
        self.slide, self.head = nn.Conv1d(1, 1, 3, padding=1, bias=False), head(12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.conv(torch.relu(self.stem(x))))
        gate = self.slide(x.mean((2, 3)).unsqueeze(1)).sigmoid()
        return self.head(x * gate.squeeze(1)[:, :, None, None])


@hard(normal(5, 6))
class ProductAndExtremes(nn.Module):
    """Two streams meet by product, maximum and minimum."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.ModuleList([nn.Linear(6, 11), nn.Linear(11, 12), nn.Linear(12, 13)])
        self.right = nn.ModuleList([nn.Linear(6, 11), nn.Linear(11, 12), nn.Linear(12, 13)])
        self.last = nn.Linear(13, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.left[0](x) * self.right[0](x).sigmoid()
        x = torch.maximum(self.left[1](x), self.right[1](x))
        return self.last(torch.min(torch.relu(self.left[2](x)), self.right[2](x)))


@hard(normal(3, 3, 6, 6))
class DenseBlock(nn.Module):
    """Each layer reads all that came before, behind a norm of its own."""

    def __init__(self) -> None:
        super().__init__()
        widths = (8, 13, 18, 23)
        self.stem, self.head = nn.Conv2d(3, 8, 1), head(23)
        self.layers = nn.ModuleList(
            chain(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 5, 3, padding=1)) for n in widths[:3]
        )

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, dim=1)))
        return self.head(torch.relu(torch.cat(parts, dim=1)))


@hard(normal(3, 3, 6, 6))
class InceptionBranches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 10, 1), head(28)
        self.branches = nn.ModuleList(
            [
                chain(nn.Conv2d(10, 6, 1), nn.ReLU()),
                chain(nn.Conv2d(10, 9, 1), nn.ReLU(), nn.Conv2d(9, 7, 3, padding=1), nn.ReLU()),
                chain(nn.Conv2d(10, 4, 1), nn.ReLU(), nn.Conv2d(4, 5, (1, 5), padding=(0, 2))),
                chain(nn.MaxPool2d(3, 1, 1), nn.Conv2d(10, 10, 1), nn.ReLU()),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.cat([branch(x) for branch in self.branches], 1))


@hard(normal(3, 3, 6, 6))
class GhostModule(nn.Module):
    """Half of the features are cheap copies of the other half, then cut to a literal number."""

    def __init__(self) -> None:
        super().__init__()
        self.primary = chain(nn.Conv2d(3, 10, 1, bias=False), nn.BatchNorm2d(10), nn.ReLU())
        self.cheap = chain(
            nn.Conv2d(10, 10, 3, padding=1, groups=10), nn.BatchNorm2d(10), nn.ReLU()
        )
        self.head = head(17)

    def forward(self, x: Tensor) -> Tensor:
        first = self.primary(x)
        return self.head(torch.cat([first, self.cheap(first)], dim=1)[:, :17, :, :])


@hard(normal(3, 3, 6, 6))
class CrossStagePartial(nn.Module):
    """One convolution is split in two; only one half goes through the block."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = chain(nn.Conv2d(3, 20, 1, bias=False), nn.BatchNorm2d(20), nn.SiLU())
        self.block = chain(
            nn.Conv2d(10, 13, 1), nn.SiLU(), nn.Conv2d(13, 10, 3, padding=1), nn.SiLU()
        )
        self.merge, self.head = nn.Conv2d(20, 9, 1), head(9)

    def forward(self, x: Tensor) -> Tensor:
        skip, worked = self.expand(x).split(10, dim=1)
        return self.head(self.merge(torch.cat([skip, worked + self.block(worked)], dim=1)).relu())


@hard(normal(3, 3, 6, 6))
class Res2NetSplit(nn.Module):
    """One convolution in four parts, each part's result is added to the next part."""

    def __init__(self) -> None:
        super().__init__()
        self.expand, self.head = nn.Conv2d(3, 20, 1), head(20)
        self.convs = nn.ModuleList(nn.Conv2d(5, 5, 3, padding=1) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        first, *others = torch.split(torch.relu(self.expand(x)), 5, dim=1)
        parts = [first]
        for conv, part in zip(self.convs, others, strict=True):
            parts.append(torch.relu(conv(part + parts[-1] if len(parts) > 1 else part)))
        return self.head(torch.cat(parts, dim=1))


@hard(normal(3, 3, 6, 6))
class SelectiveKernels(nn.Module):
    """SKNet: a softmax over the branches, not over the features, weighs them."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = (
            nn.Conv2d(3, 10, 3, padding=1),
            nn.Conv2d(3, 10, 3, padding=2, dilation=2),
        )
        self.squeeze, self.weigh, self.head = nn.Linear(10, 7), nn.Linear(7, 20), head(10)

    def forward(self, x: Tensor) -> Tensor:
        both = torch.stack([torch.relu(self.near(x)), torch.relu(self.far(x))], dim=1)
        weights = self.weigh(torch.relu(self.squeeze(both.sum(1).mean((-1, -2)))))
        weights = weights.view(-1, 2, 10, 1, 1).softmax(dim=1)
        return self.head((both * weights).sum(1))


@hard(normal(2, 3, 8, 8))
class UNet(nn.Module):
    """Skips by concatenation, one upsampling by interpolation, one by transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.top, self.middle = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 11, 3, padding=1)
        self.bottom, self.up = (
            nn.Conv2d(11, 14, 3, padding=1),
            nn.ConvTranspose2d(12, 9, 2, stride=2),
        )
        self.join, self.last = nn.Conv2d(25, 12, 3, padding=1), nn.Conv2d(17, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        top = torch.relu(self.top(x))
        middle = torch.relu(self.middle(functional.max_pool2d(top, 2)))
        x = torch.relu(self.bottom(functional.avg_pool2d(middle, 2)))
        x = functional.interpolate(x, size=middle.shape[-2:], mode="bilinear", align_corners=False)
        x = torch.relu(self.join(torch.cat([middle, x], dim=1)))
        return self.last(torch.cat([torch.relu(self.up(x)), top], dim=1))


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


TOKENS = normal(3, 7, 6)


class Attention(nn.Module):
    """A stem, one attention with a residual connection, a classifier; subclasses attend."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.stem, self.last = nn.Linear(6, width), nn.Linear(width, 3)

    def attend(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.last((x + self.attend(x)).mean(1))


@hard(TOKENS)
class MultiheadSelfAttention(Attention):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, dropout=0.1, batch_first=True)

    def attend(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


@hard(each(normal(7, 3, 10), normal(5, 3, 9)))
class MultiheadCrossAttention(nn.Module):
    """Sequence first, keys and values of another width, weights returned."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(10, 2, kdim=8, vdim=8, add_bias_kv=True)
        self.memory, self.up, self.down = nn.Linear(9, 8), nn.Linear(10, 14), nn.Linear(14, 3)

    def forward(self, x: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        memory = torch.relu(self.memory(memory))
        x, weights = self.attention(x, memory, memory)
        return self.down(torch.relu(self.up(x))), weights


def encoder_layer(*, norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(
        12, 3, dim_feedforward=17, dropout=0.1, batch_first=True, norm_first=norm_first
    )


register(
    "EncoderLayerNormLast",
    lambda: chain(nn.Linear(6, 12), encoder_layer(norm_first=False), nn.Linear(12, 3)),
    TOKENS,
)
register(
    "EncoderLayerNormFirst",
    lambda: chain(nn.Linear(6, 12), encoder_layer(norm_first=True), nn.Linear(12, 3)),
    TOKENS,
)


@hard(each(normal(3, 7, 12), normal(3, 5, 12)))
class EncoderAndDecoder(nn.Module):
    """Two layers each from PyTorch's own stacks, with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        encoder = nn.TransformerEncoderLayer(12, 2, 17, 0.0, "gelu", batch_first=True)
        decoder = nn.TransformerDecoderLayer(12, 2, 19, 0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(encoder, 2)
        self.decoder = nn.TransformerDecoder(decoder, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(5, dtype=y.dtype)
        return self.decoder(y, self.encoder(x), tgt_mask=mask)


@hard(TOKENS)
class HandwrittenQkv(Attention):
    """One linear layer, viewed as (3, heads, features), as in timm."""

    def __init__(self) -> None:
        super().__init__(width=15)
        self.num_heads, self.scale = 3, 5**-0.5
        self.qkv, self.out = nn.Linear(15, 45), nn.Linear(15, 15)

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        weights = (query @ key.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.out((weights @ value).transpose(1, 2).reshape(batch, tokens, width))


@hard(TOKENS)
class ThreeLinearAttention(Attention):
    """Heads by literal view; queries and keys have another width than values."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 10), nn.Linear(12, 10, bias=False)
        self.value, self.out = nn.Linear(12, 14), nn.Linear(14, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = self.query(x).view(3, 7, 2, 5).transpose(1, 2)
        key = self.key(x).view(3, 7, 2, 5).transpose(1, 2)
        value = self.value(x).view(3, 7, 2, 7).transpose(1, 2)
        weights = torch.softmax(torch.matmul(query, key.mT) / 5**0.5, dim=-1)
        return self.out(torch.matmul(weights, value).transpose(1, 2).reshape(3, 7, 14))


@hard(TOKENS)
class ScaleFromWidth(Attention):
    """Scaled by the width that the queries happen to have: fewer features, another scale."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 10), nn.Linear(12, 10)
        self.value = nn.Linear(12, 12)

    def attend(self, x: Tensor) -> Tensor:
        query, key = self.query(x), self.key(x)
        weights = (query @ key.mT / math.sqrt(query.size(-1))).softmax(-1)
        return weights @ self.value(x)


@hard(TOKENS)
class FusedAttention(Attention):
    """scaled_dot_product_attention takes its scale from the width, too; causal."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(12, 42), nn.Linear(14, 12)

    def attend(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, 2, 7)).permute(2, 0, 3, 1, 4).unbind(0)
        x = functional.scaled_dot_product_attention(*parts, is_causal=True)
        return self.out(x.transpose(1, 2).flatten(2))


@hard(TOKENS)
class MultiQueryAttention(Attention):
    """Four heads of queries share one head of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pair, self.out = nn.Linear(12, 20), nn.Linear(12, 10), nn.Linear(20, 12)

    def attend(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        query = self.query(x).view(batch, tokens, 4, 5).permute(0, 2, 1, 3)
        key, value = self.pair(x).unsqueeze(1).chunk(2, dim=-1)
        weights = (query @ key.transpose(2, 3) * 5**-0.5).softmax(-1)
        return self.out((weights @ value).permute(0, 2, 1, 3).reshape(batch, tokens, -1))


@hard(TOKENS)
class GroupedQueryAttention(Attention):
    """Two heads of keys and values, each repeated for two heads of queries."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(12, 20), nn.Linear(12, 10)
        self.value, self.out = nn.Linear(12, 10), nn.Linear(20, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = self.query(x).view(3, 7, 4, 5).transpose(1, 2)
        key = self.key(x).view(3, 7, 2, 5).transpose(1, 2).repeat_interleave(2, dim=1)
        value = self.value(x).view(3, 7, 2, 5).transpose(1, 2).repeat_interleave(2, dim=1)
        weights = (query @ key.mT * 5**-0.5).softmax(-1)
        return self.out((weights @ value).transpose(1, 2).reshape(3, 7, 20))


@hard(TOKENS)
class RotaryAttention(Attention):
    """Feature i turns together with feature i + 4: only both can go."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 8), nn.Linear(12, 8), nn.Linear(12, 12)
        angles = torch.outer(torch.arange(7.0), 0.3 ** torch.arange(4.0)).repeat(1, 2)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())

    def turn(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=-1)
        return x * self.cos + torch.cat([-second, first], dim=-1) * self.sin

    def attend(self, x: Tensor) -> Tensor:
        query, key = self.turn(self.query(x)), self.turn(self.key(x))
        return (query @ key.mT * 8**-0.5).softmax(-1) @ self.value(x)


@hard(TOKENS)
class LinearAttention(Attention):
    """elu + 1 is 1 where a feature is dead; keys meet values before queries do."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(12, 9), nn.Linear(12, 9), nn.Linear(12, 12)

    def attend(self, x: Tensor) -> Tensor:
        query = functional.elu(self.query(x)) + 1
        key = functional.elu(self.key(x)) + 1
        context = torch.einsum("bnd,bne->bde", key, self.value(x))
        scale = torch.einsum("bnd,bd->bn", query, key.sum(1))
        return torch.einsum("bnd,bde->bne", query, context) / scale.unsqueeze(-1)


@hard(each(normal(3, 7, 6), normal(3, 5, 9)))
class CrossAttention(nn.Module):
    """Queries from one input, keys and values from the other by one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.pair, self.out = nn.Linear(6, 8), nn.Linear(9, 24), nn.Linear(16, 3)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        key, value = self.pair(memory).split([8, 16], dim=-1)
        query = self.query(x).view(3, 7, 2, 4).transpose(1, 2)
        key = key.view(3, 5, 2, 4).permute(0, 2, 3, 1)
        value = value.view(3, 5, 2, 8).transpose(1, 2)
        x = (query @ key * 0.5).softmax(-1) @ value
        return self.out(x.transpose(1, 2).reshape(3, 7, 16))


@hard(normal(3, 6, 4, 5))
class ChannelAttention(nn.Module):
    """XCiT: the attention matrix is features by features, of normalised queries and keys."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.up, self.last = nn.Conv2d(6, 24, 1), nn.Conv2d(8, 13, 1), nn.Conv2d(13, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).flatten(2).chunk(3, dim=1)
        query, key = functional.normalize(query, dim=-1), functional.normalize(key, dim=-1)
        x = (query @ key.transpose(1, 2)).softmax(dim=-1) @ value
        return self.last(torch.relu(self.up(x.view(-1, 8, 4, 5))))


class Recurrent(nn.Module):
    """Embeds, runs a recurrent layer, classifies the last step."""

    def __init__(self, layer: Callable[..., nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 9)
        self.layer = layer(9, 12, batch_first=True, **options)
        self.up = nn.Linear(24 if options.get("bidirectional") else 12, 14)
        self.last = nn.Linear(14, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        steps, _ = self.layer(self.embedding(tokens))
        return self.last(torch.relu(self.up(steps[:, -1])))


WORDS = integers(11, 4, 6)
register("Lstm", lambda: Recurrent(nn.LSTM), WORDS)
register("LstmTwoLayers", lambda: Recurrent(nn.LSTM, num_layers=2, dropout=0.2), WORDS)
register("GruBidirectional", lambda: Recurrent(nn.GRU, bidirectional=True), WORDS)
register("GruWithoutBias", lambda: Recurrent(nn.GRU, bias=False), WORDS)
register("RnnRelu", lambda: Recurrent(nn.RNN, nonlinearity="relu", num_layers=2), WORDS)


@hard(WORDS)
class LstmStates(nn.Module):
    """The states, not the steps, are read; the first ones are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(11, 9), nn.LSTM(9, 10)
        self.start, self.last = nn.Parameter(torch.randn(2, 1, 1, 10)), nn.Linear(20, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden, cell = self.start.expand(-1, -1, len(tokens), -1).contiguous()
        _, (hidden, cell) = self.lstm(self.embedding(tokens).transpose(0, 1), (hidden, cell))
        return self.last(torch.cat([hidden[-1], cell[-1]], dim=1))


@hard(normal(4, 5, 6))
class LstmCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.last = nn.Linear(6, 9), nn.LSTMCell(9, 11), nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = cell = x.new_zeros(x.shape[0], 11)
        for step in torch.relu(self.stem(x)).unbind(1):
            hidden, cell = self.cell(step, (hidden, cell))
        return self.last(hidden)


@hard(normal(4, 5, 6))
class HandwrittenRecurrence(nn.Module):
    """A state goes round through one linear layer over input and state."""

    def __init__(self) -> None:
        super().__init__()
        self.step, self.gru, self.last = nn.Linear(17, 11), nn.GRUCell(11, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, outer = torch.zeros(len(x), 11).to(x), torch.zeros(len(x), 8).to(x)
        for i in range(x.shape[1]):
            state = torch.tanh(self.step(torch.cat([x[:, i], state], dim=1)))
            outer = self.gru(state, outer)
        return self.last(outer)


@hard(normal(4, 6, 7))
class StateSpaceScan(nn.Module):
    """A diagonal recurrence with a decay per feature, gated, as in recent sequence models."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.decay, self.last = (
            nn.Linear(7, 22),
            nn.Parameter(torch.randn(11)),
            nn.Linear(11, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).split(11, dim=-1)
        state, steps = torch.zeros_like(value[:, 0]), []
        for i in range(6):
            state = state * torch.sigmoid(self.decay) + value[:, i]
            steps.append(state * functional.silu(gate[:, i]))
        return self.last(torch.stack(steps, dim=1))


@hard(normal(5, 6))
class WeightNormed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            parametrizations.weight_norm(nn.Linear(6, 12)),
            nn.ReLU(),
            parametrizations.weight_norm(nn.Linear(12, 9), dim=0),
            nn.ReLU(),
            nn.Linear(9, 3),
        )


@hard(normal(4, 3, 6, 6))
class WeightNormedOld(nn.Sequential):
    """The old way: a hook computes the weight before each forward."""

    def __init__(self) -> None:
        super().__init__(
            weight_norm(nn.Conv2d(3, 10, 3)),
            nn.ReLU(),
            weight_norm(nn.Conv2d(10, 8, 1)),
            nn.ReLU(),
            head(8),
        )


@hard(normal(5, 6))
class SpectralNormed(nn.Sequential):
    """Divided by the largest singular value, which all features share."""

    def __init__(self) -> None:
        super().__init__(
            parametrizations.spectral_norm(nn.Linear(6, 12)),
            nn.ReLU(),
            spectral_norm(nn.Linear(12, 9)),
            nn.ReLU(),
            nn.Linear(9, 8),
            nn.ReLU(),
            nn.Linear(8, 3),
        )


class Softened(nn.Module):
    """A parametrization that keeps weights positive."""

    def forward(self, weight: Tensor) -> Tensor:
        return functional.softplus(weight) / 4


class Symmetric(nn.Module):
    """A parametrization that ties rows to columns."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


@hard(normal(5, 6))
class Parametrized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.turned = parametrizations.orthogonal(nn.Linear(12, 12))
        parametrize.register_parametrization(self.first, "weight", Softened())
        parametrize.register_parametrization(self.middle, "weight", Symmetric())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.middle(torch.relu(self.first(x))))
        return self.last(torch.relu(self.turned(x)))


@hard(normal(5, 6))
class LowRankAdapter(nn.Module):
    """A frozen weight plus a learnt one of low rank, on the same features."""

    def __init__(self) -> None:
        super().__init__()
        self.base, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.base.requires_grad_(requires_grad=False)
        self.down, self.up = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(12, 4))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.base.weight + self.up @ self.down
        return self.last(torch.relu(functional.linear(x, weight, self.base.bias)))


class OverFeatures(nn.Module):
    """Linear, ReLU, a function over the features, and a linear layer or not."""

    def __init__(self, function: Callable[[Tensor], Tensor], *, width: int = 12, last: int) -> None:
        super().__init__()
        self.first, self.function = nn.Linear(6, width), function
        self.last = nn.Linear(last, 3) if last else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.function(torch.relu(self.first(x))))


ROWS = normal(5, 6)
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


class Squared(torch.autograd.Function):
    """x · |x| with a gradient by hand."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x.abs()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * gradient * x.abs()


@hard(ROWS)
class CustomFunction(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.second(Squared.apply(self.first(x)))))


@hard(ROWS)
class DataDependentBranch(nn.Module):
    """Which layers run depends on a number that is computed from the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.positive, self.negative = nn.Linear(12, 12), nn.Linear(12, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        branch = self.positive if x.mean().item() > 0.3 else self.negative
        return self.last(torch.relu(branch(x)))


@hard(ROWS)
class LoopUntilSmall(nn.Module):
    """The number of rounds depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x, rounds = torch.relu(self.first(x)), 0
        while x.norm() > 0.5 and rounds < 4:
            x, rounds = torch.relu(self.again(x)) / 2, rounds + 1
        return self.last(x)


@hard(ROWS)
class MixtureOfExperts(nn.Module):
    """Each row goes through the experts that its scores choose."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.router, self.last = nn.Linear(6, 10), nn.Linear(10, 3), nn.Linear(10, 3)
        self.experts = nn.ModuleList(
            chain(nn.Linear(10, width), nn.ReLU(), nn.Linear(width, 10)) for width in (9, 12, 13)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        weights, chosen = self.router(x).softmax(-1).topk(2, dim=-1)
        mixed = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            share = (weights * (chosen == i)).sum(-1, keepdim=True)
            mixed = mixed + share * expert(x)
        return self.last(mixed)


@hard(ROWS)
class SparseMixtureOfExperts(nn.Module):
    """Rows are gathered for their expert and put back: the batch axis has data's size."""

    def __init__(self) -> None:
        super().__init__()
        self.router, self.last = nn.Linear(6, 2), nn.Linear(8, 3)
        self.experts = nn.ModuleList(
            chain(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 8)) for width in (9, 12)
        )

    def forward(self, x: Tensor) -> Tensor:
        chosen, mixed = self.router(x).argmax(-1), x.new_zeros(len(x), 8)
        for i, expert in enumerate(self.experts):
            rows = (chosen == i).nonzero().squeeze(1)
            mixed.index_add_(0, rows, expert(x[rows]))
        return self.last(mixed)


@hard(ROWS)
class EarlyExits(nn.Module):
    """Classifiers at three depths; all of their outputs are returned."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 14), nn.Linear(14, 11), nn.Linear(11, 9)])
        self.exits = nn.ModuleList([nn.Linear(14, 3), nn.Linear(11, 3), nn.Linear(9, 3)])

    def forward(self, x: Tensor) -> list[Tensor]:
        outputs = []
        for layer, leave in zip(self.layers, self.exits, strict=True):
            x = torch.relu(layer(x))
            outputs.append(leave(x))
        return outputs


@hard(normal(3, 3, 6, 6))
class AuxiliaryHeadInTraining(nn.Module):
    """In training the features have a reader that is not there in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 12, 3), nn.Conv2d(12, 9, 3)
        self.norm, self.auxiliary, self.head = nn.BatchNorm2d(12), head(12), head(9)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = torch.relu(self.norm(self.first(x)))
        y = self.head(torch.relu(self.second(x)))
        return (y, self.auxiliary(x)) if self.training else y


@hard(ROWS)
class NormOnlyInTraining(nn.Module):
    """In training, and only there, the features are made zero-mean over the features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        if self.training:
            x = x - x.mean(dim=1, keepdim=True)
        return self.last(torch.relu(self.second(x)))


@hard(ROWS)
class HalfFrozen(nn.Module):
    """Frozen layers among learning ones; one bias learns alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *[nn.Linear(6, 14), nn.ReLU(), nn.Linear(14, 11), nn.ReLU()],
            *[nn.Linear(11, 9), nn.Sigmoid(), nn.Linear(9, 3)],
        )
        for layer in (0, 4):
            self.layers[layer].requires_grad_(requires_grad=False)
        self.layers[2].weight.requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


@hard(ROWS)
class NoGradTrunk(nn.Module):
    """The trunk runs without gradients, its result is detached."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.up, self.last = nn.Linear(6, 12), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = torch.relu(self.trunk(x))
        return self.last(torch.relu(self.up(x.detach())))


@hard(named(image=normal(3, 3, 6, 6), scale=normal(3, 1)))
class KeywordOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up, self.last = nn.Conv2d(3, 12, 3), nn.Linear(12, 9), nn.Linear(9, 3)

    def forward(self, *, image: Tensor, scale: Tensor, mask: Tensor | None = None) -> Tensor:
        x = torch.relu(self.conv(image)).mean((2, 3)) * scale
        x = self.up(x if mask is None else x * mask)
        return self.last(torch.relu(x))


@hard(ROWS)
class DefaultNone(nn.Module):
    """An input that is left out is replaced by a learnt one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(5, 12), nn.Linear(12, 3)
        self.missing = nn.Parameter(torch.randn(5))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = self.missing.expand(len(x), -1) if context is None else context
        return self.last(torch.relu(self.first(x)) * torch.sigmoid(self.second(context)))


def nested_inputs() -> Inputs:
    """A dict of a list and a tensor, then a number."""
    parts = [torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)]
    return {"parts": parts, "where": {"mask": torch.tensor([1.0, 0.0, 1.0, 1.0])}}, 0.5


@hard(nested_inputs)
class NestedInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.last = nn.Linear(5, 9), nn.Linear(6, 9), nn.Linear(9, 3)

    def forward(self, batch: dict[str, Any], scale: float) -> Tensor:
        left, right = batch["parts"]
        x = torch.relu(self.left(left)) + scale * torch.relu(self.right(right))
        return self.last(x * batch["where"]["mask"].unsqueeze(-1).to(x.dtype))


@hard(each(normal(3, 3, 6, 6), integers(11, 3, 5)))
class ImageAndText(nn.Module):
    """Two towers of other widths, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.image = chain(nn.Conv2d(3, 9, 3), nn.ReLU(), head(9, 13))
        self.text, self.up, self.last = nn.Embedding(11, 10), nn.Linear(23, 12), nn.Linear(12, 3)

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        both = torch.cat([self.image(image), self.text(tokens).sum(1)], dim=-1)
        return self.last(torch.relu(self.up(both)))


class Point(NamedTuple):
    """Where and how sure."""

    place: Tensor
    score: Tensor


@dataclass
class Detections:
    """What a detector returns, with its scales in a list."""

    points: list[Point]
    embedding: Tensor
    note: str = ""


@hard(normal(3, 3, 8, 8))
class OutputsDataclass(nn.Module):
    """Named tuples in a list in a dataclass; the embedding's features are themselves returned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 9, 3), nn.Conv2d(9, 11, 3, stride=2)
        self.places = nn.ModuleList([nn.Conv2d(9, 2, 1), nn.Conv2d(11, 2, 1)])
        self.scores = nn.ModuleList([nn.Conv2d(9, 1, 1), nn.Conv2d(11, 1, 1)])
        self.embed = nn.Linear(11, 8)

    def forward(self, x: Tensor) -> Detections:
        near = torch.relu(self.stem(x))
        far = torch.relu(self.deep(near))
        points = [
            Point(place(level), torch.sigmoid(score(level)))
            for place, score, level in zip(self.places, self.scores, (near, far), strict=True)
        ]
        return Detections(points, self.embed(far.amax((2, 3))))


@hard(ROWS)
class OutputsDict(nn.Module):
    """A dict whose entries share features; one entry is hidden features, so they must stay."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 14), nn.Linear(14, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        x = torch.relu(self.first(x))
        hidden = torch.relu(self.second(x))
        logits = self.last(hidden)
        return {"logits": logits, "more": {"hidden": hidden, "best": logits.argmax(-1)}}


@hard(ROWS)
class OutputsNamedTuple(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.place, self.score = nn.Linear(6, 14), nn.Linear(14, 2), nn.Linear(14, 1)

    def forward(self, x: Tensor) -> Point:
        x = torch.relu(self.first(x))
        return Point(place=self.place(x), score=self.score(x).squeeze(-1))


@hard(ROWS, prunable=False)
class OnlyOutputs(nn.Linear):
    """A single layer: what it computes is the output."""

    def __init__(self) -> None:
        super().__init__(6, 9)


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


@hard(ROWS)
class Checkpointed(nn.Module):
    """The middle is computed again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(9, 3)
        self.middle = chain(nn.ReLU(), nn.Linear(12, 14), nn.ReLU(), nn.Linear(14, 9), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.last(checkpoint(self.middle, self.first(x), use_reentrant=False))


@hard(ROWS)
class CountsItsCalls(nn.Module):
    """Keeps a Python number and a running mean of its features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last, self.calls = nn.Linear(6, 12), nn.Linear(12, 3), 0
        self.register_buffer("average", torch.randn(12))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        x = torch.relu(self.first(x))
        if self.training:
            self.average.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return self.last(x - self.average)


@hard(ROWS)
class ChecksItsWidth(nn.Module):
    """Asserts a literal width and hands its configured one on, as library code does."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.first = 12, nn.Linear(6, 12)
        self.norm, self.last = nn.BatchNorm1d(12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        if x.shape[-1] != self.hidden:
            raise ValueError(f"expected {self.hidden} features, got {x.shape[-1]}")
        return self.last(x.reshape(-1, self.hidden))


@hard(ROWS)
class TensorAttribute(nn.Module):
    """A plain tensor, neither buffer nor parameter, has the features' size."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 12), nn.Linear(12, 3)
        self.temperature = torch.linspace(0.5, 2.0, 12, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)) * self.temperature)


@hard(ROWS)
class NoiseInTraining(nn.Module):
    """One random number per row in training; the features' own would change with their number."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        inner = torch.relu(self.second(x))
        if self.training:
            inner = inner * torch.empty(len(x), 1).bernoulli_(0.7) / 0.7
        return self.last(x + inner)
