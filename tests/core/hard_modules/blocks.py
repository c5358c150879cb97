"""Residual streams, and the blocks of well-known convolutional networks."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.core.hard_modules.catalogue import chain, hard, head, normal


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
