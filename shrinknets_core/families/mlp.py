"""Multi-layer perceptrons: a plain stack, and blocks beside a stream, to learn the depth too."""

import math
from collections import OrderedDict
from itertools import pairwise

from torch import Tensor, nn

from shrinknets_core.families.family import Family, Layer
from shrinknets_core.sizes import Size, Tally


class ResidualBlock(nn.Module):
    """`x + branch(x)`, where the branch is Linear, ReLU, Linear; x and the output (…, stream).

    The second linear layer has no bias: a branch whose hidden features are all dead gives exactly
    zero, so that it can go. Nothing is lost, as all readers of the stream have biases.

    Args:
        stream: features of the stream.
        hidden: features of the branch.
    """

    def __init__(self, stream: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(stream, hidden)
        self.relu = nn.ReLU()
        self.out = nn.Linear(hidden, stream, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.relu(self.hidden(x)))  # type: ignore[no-any-return]


def mlp_family(*, residual: bool = False) -> Family:
    """Return the family of multi-layer perceptrons, of any depth and on inputs of any shape.

    Args:
        residual: whether each hidden layer is a branch beside a stream, whose width comes first
            among the widths then; a branch of width 0 is left out.
    """
    if residual:
        return Family(
            name="residual_mlp",
            make=_make_residual,
            layers=(Layer(name="stream", path="stem", full=128),),
            repeated=Layer(name="block{}", path="block{}.hidden", full=256, least=0),
            repeats=4,
            count=_count_residual,
        )
    return Family(
        name="mlp",
        make=_make_plain,
        repeated=Layer(name="hidden{}", full=256),
        repeats=2,
        count=_count_plain,
    )


def _make_plain(
    input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int
) -> nn.Sequential:
    sizes = [math.prod(input_shape), *widths]
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, (before, after) in enumerate(pairwise(sizes), start=1):
        layers[f"hidden{number}"] = nn.Linear(before, after)
        layers[f"relu{number}"] = nn.ReLU()
    layers["head"] = nn.Linear(sizes[-1], num_classes)
    return nn.Sequential(layers)


def _make_residual(
    input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int
) -> nn.Sequential:
    stream, *blocks = widths
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    layers["stem"] = nn.Linear(math.prod(input_shape), stream)
    for number, hidden in enumerate(blocks, start=1):
        if hidden > 0:
            layers[f"block{number}"] = ResidualBlock(stream, hidden)
    layers["head"] = nn.Linear(stream, num_classes)
    return nn.Sequential(layers)


def _count_plain(input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int) -> Size:
    tally = Tally()
    for before, after in pairwise([math.prod(input_shape), *widths, num_classes]):
        tally.linear(before, after)
    return tally.size()


def _count_residual(
    input_shape: tuple[int, ...], widths: tuple[int, ...], num_classes: int
) -> Size:
    stream, *blocks = widths
    tally = Tally()
    tally.linear(math.prod(input_shape), stream)
    for hidden in blocks:
        tally.linear(stream, hidden)
        tally.linear(hidden, stream, bias=False)
    tally.linear(stream, num_classes)
    return tally.size()
