"""VGG with batch normalisation, for images of CIFAR's size and above."""

from collections import OrderedDict
from functools import partial

from torch import nn

from shrinknets_core.errors import OptionError
from shrinknets_core.families.family import Family, Layer
from shrinknets_core.sizes import Size, Tally

CONVS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions of each stage, by depth; each stage ends with a pooling that halves the image."""
STANDARD_CHANNELS = (64, 128, 256, 512, 512)
CLASSIFIER = (512, 512)


def vgg_widths(
    depth: int, *, factor: float = 1.0, classifier: tuple[int, int] = CLASSIFIER
) -> tuple[int, ...]:
    """Return the widths of a VGG whose standard channels are multiplied by a factor.

    Args:
        depth: 11, 13, 16 or 19.
        factor: rounded down, to 1 channel at least.
        classifier: units of the two fully connected layers, which take no factor.

    Raises:
        OptionError: the depth or the factor is not as said.
    """
    if depth not in CONVS:
        raise OptionError("depth of a VGG", expected=f"one of {list(CONVS)}", got=depth)
    if not factor > 0:
        raise OptionError("factor", expected="positive", got=factor)
    stages = zip(STANDARD_CHANNELS, CONVS[depth], strict=True)
    convs = [max(1, int(channels * factor)) for channels, count in stages for _ in range(count)]
    return (*convs, *classifier)


def vgg_family(depth: int) -> Family:
    """Return the family of VGGs of a depth: 11, 13, 16 or 19.

    Raises:
        OptionError: there is no such depth.
    """
    full = vgg_widths(depth)
    names = [f"conv{number}" for number in range(1, len(full) - 1)]
    return Family(
        name=f"vgg{depth}",
        make=partial(_make, convs=CONVS[depth]),
        layers=tuple(
            Layer(name=name, full=width)
            for name, width in zip([*names, "fc1", "fc2"], full, strict=True)
        ),
        image_side=2 ** len(CONVS[depth]),
        count=partial(_count, convs=CONVS[depth]),
    )


def _make(
    input_shape: tuple[int, ...],
    widths: tuple[int, ...],
    num_classes: int,
    *,
    convs: tuple[int, ...],
) -> nn.Sequential:
    before, height, width = input_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    number = 0
    for stage, count in enumerate(convs, start=1):
        for after in widths[number : number + count]:
            number += 1
            # The norm takes the mean away, and with it whatever a bias adds.
            layers[f"conv{number}"] = nn.Conv2d(before, after, 3, padding=1, bias=False)
            layers[f"norm{number}"] = nn.BatchNorm2d(after)
            layers[f"relu{number}"] = nn.ReLU()
            before = after
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    fc1, fc2 = widths[number:]
    scale = 2 ** len(convs)
    layers["flatten"] = nn.Flatten()
    layers["fc1"] = nn.Linear(before * (height // scale) * (width // scale), fc1)
    layers["fc1_relu"] = nn.ReLU()
    layers["fc2"] = nn.Linear(fc1, fc2)
    layers["fc2_relu"] = nn.ReLU()
    layers["head"] = nn.Linear(fc2, num_classes)
    return nn.Sequential(layers)


def _count(
    input_shape: tuple[int, ...],
    widths: tuple[int, ...],
    num_classes: int,
    *,
    convs: tuple[int, ...],
) -> Size:
    before, height, width = input_shape
    tally = Tally()
    number = 0
    for count in convs:
        for after in widths[number : number + count]:
            tally.conv(before, after, kernel=3, pixels=height * width)
            tally.norm(after)
            before = after
        number += count
        height, width = height // 2, width // 2
    fc1, fc2 = widths[number:]
    tally.linear(before * height * width, fc1)
    tally.linear(fc1, fc2)
    tally.linear(fc2, num_classes)
    return tally.size()
