"""Residual networks for CIFAR (He et al. 2015, section 4.2): 6n + 2 layers in three stages."""

from collections import OrderedDict

from torch import Tensor, nn

from shrinknets_core.errors import OptionError
from shrinknets_core.families.family import Family, Layer
from shrinknets_core.sizes import Size, Tally

STANDARD_CHANNELS = (16, 32, 64)
DEPTHS = (20, 32, 44, 56)


class BasicBlock(nn.Module):
    """`relu(shortcut(x) + branch(x))`, where the branch has two 3x3 convolutions with norms.

    Args:
        before: channels of x (batch, before, height, width).
        inner: channels between the two convolutions.
        after: channels of the output.
        stride: of the first convolution and of the shortcut.
    """

    def __init__(self, before: int, inner: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv(before, inner, stride=stride)
        self.norm1 = nn.BatchNorm2d(inner)
        self.relu1 = nn.ReLU()
        self.conv2 = _conv(inner, after)
        self.norm2 = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity() if stride == 1 else projection(before, after, stride=stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(self.shortcut(x) + branch)  # type: ignore[no-any-return]


def projection(before: int, after: int, *, stride: int) -> nn.Sequential:
    """Return the shortcut between two stages: a 1x1 convolution with a norm (option B).

    The paper's option A copies the channels and pads them with zeros. It would tie the streams of
    all stages to each other: none could be narrower than the one before, and a channel could only
    be removed from all stages at once.
    """
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(before, after, 1, stride=stride, bias=False),
            norm=nn.BatchNorm2d(after),
        )
    )


def resnet_widths(depth: int, *, factor: float = 1.0) -> tuple[int, ...]:
    """Return the widths of a network whose standard channels are multiplied by a factor.

    Args:
        depth: 20, 32, 44 or 56.
        factor: rounded down, to 1 channel at least.

    Raises:
        OptionError: the depth or the factor is not as said.
    """
    blocks = _blocks_per_stage(depth)
    if not factor > 0:
        raise OptionError("factor", expected="positive", got=factor)
    stages = [max(1, int(channels * factor)) for channels in STANDARD_CHANNELS]
    return tuple(width for width in stages for _ in range(1 + blocks))


def resnet_family(depth: int) -> Family:
    """Return the family of residual networks of a depth: 20, 32, 44 or 56.

    The widths are, for each stage, the channels of its stream and then the inner channels of each
    of its blocks. A block of width 0 has no branch: it is left out, but for its shortcut where
    that is a projection.

    Raises:
        OptionError: there is no such depth.
    """
    blocks = _blocks_per_stage(depth)
    layers = []
    for stage, channels in enumerate(STANDARD_CHANNELS, start=1):
        writer = "stem.conv" if stage == 1 else f"stage{stage}.block1.shortcut.conv"
        layers.append(Layer(name=f"stage{stage}", path=writer, full=channels))
        for block in range(1, blocks + 1):
            name = f"stage{stage}.block{block}"
            layers.append(Layer(name=name, path=f"{name}.conv1", full=channels, least=0))
    return Family(
        name=f"resnet{depth}", make=_make, layers=tuple(layers), image_side=4, count=_count
    )


def _make(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> nn.Sequential:
    before = widths[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["stem"] = nn.Sequential(
        OrderedDict(conv=_conv(input_shape[0], before), norm=nn.BatchNorm2d(before), relu=nn.ReLU())
    )
    for stage, (after, inner) in enumerate(_stages(widths), start=1):
        layers[f"stage{stage}"] = _stage(before, inner, after, stride=1 if stage == 1 else 2)
        before = after
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["head"] = nn.Linear(before, num_classes)
    return nn.Sequential(layers)


def _count(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> Size:
    channels, height, width = input_shape
    before = widths[0]
    tally = Tally()
    tally.conv(channels, before, kernel=3, pixels=height * width)
    tally.norm(before)
    for stage, (after, inner) in enumerate(_stages(widths), start=1):
        if stage > 1:
            height, width = (height + 1) // 2, (width + 1) // 2
            tally.conv(before, after, kernel=1, pixels=height * width)
            tally.norm(after)
        for features in inner:
            _count_branch(tally, before, features, after, pixels=height * width)
            before = after
    tally.linear(before, num_classes)
    return tally.size()


def _count_branch(tally: Tally, before: int, inner: int, after: int, *, pixels: int) -> None:
    if inner > 0:
        tally.conv(before, inner, kernel=3, pixels=pixels)
        tally.norm(inner)
        tally.conv(inner, after, kernel=3, pixels=pixels)
        tally.norm(after)


def _stages(widths: tuple[int, ...]) -> list[tuple[int, tuple[int, ...]]]:
    """Split the widths into each stage's stream and its blocks' inner channels."""
    per_stage = len(widths) // len(STANDARD_CHANNELS)
    starts = range(0, len(widths), per_stage)
    return [(widths[start], widths[start + 1 : start + per_stage]) for start in starts]


def _stage(before: int, inner: tuple[int, ...], after: int, *, stride: int) -> nn.Sequential:
    """Return the blocks of a stage; only the first one has the stride."""
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number, width in enumerate(inner, start=1):
        if width > 0:
            blocks[f"block{number}"] = BasicBlock(before, width, after, stride=stride)
        elif stride > 1:
            shortcut = projection(before, after, stride=stride)
            blocks[f"block{number}"] = nn.Sequential(OrderedDict(shortcut=shortcut, relu=nn.ReLU()))
        before, stride = after, 1
    return nn.Sequential(blocks)


def _conv(before: int, after: int, *, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)


def _blocks_per_stage(depth: int) -> int:
    if depth not in DEPTHS:
        raise OptionError("depth of a ResNet", expected=f"one of {list(DEPTHS)}", got=depth)
    return (depth - 2) // 6
