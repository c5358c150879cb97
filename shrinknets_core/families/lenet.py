"""LeNet-5 as the paper has it: two convolutions, max pooling, one fully connected hidden layer."""

from collections import OrderedDict

from torch import nn

from shrinknets_core.families.family import Family, Layer
from shrinknets_core.sizes import Size, Tally

KERNEL = 5


def lenet_family() -> Family:
    """Return the family of LeNet-5, bounded by default as in the paper."""
    return Family(
        name="lenet5",
        make=_make,
        layers=(
            Layer(name="conv1", full=50),
            Layer(name="conv2", full=50),
            Layer(name="fc", full=5000),
        ),
        image_side=16,
        count=_count,
    )


def _make(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> nn.Sequential:
    channels, height, width = input_shape
    conv1, conv2, fc = widths
    pixels = _pooled(_pooled(height)) * _pooled(_pooled(width))
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, conv1, KERNEL),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(conv1, conv2, KERNEL),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc=nn.Linear(conv2 * pixels, fc),
            relu3=nn.ReLU(),
            head=nn.Linear(fc, num_classes),
        )
    )


def _count(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> Size:
    channels, height, width = input_shape
    conv1, conv2, fc = widths
    tally = Tally()
    for before, after in ((channels, conv1), (conv1, conv2)):
        pixels = (height - KERNEL + 1) * (width - KERNEL + 1)
        tally.conv(before, after, kernel=KERNEL, pixels=pixels, bias=True)
        height, width = _pooled(height), _pooled(width)
    tally.linear(conv2 * height * width, fc)
    tally.linear(fc, num_classes)
    return tally.size()


def _pooled(side: int) -> int:
    """Return the side of an image after one convolution without padding and one pooling."""
    return (side - KERNEL + 1) // 2
