"""Norms, and PReLU: layers with numbers of their own for each channel."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import Builder, hard, head, normal, register


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
