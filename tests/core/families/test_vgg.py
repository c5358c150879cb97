"""VGG has the published sizes, and one width for each of its layers."""

import pytest
from torch import nn

from shrinknets_core.errors import OptionError
from shrinknets_core.families import vgg_family, vgg_widths

CIFAR = (3, 32, 32)


@pytest.mark.parametrize("depth", [11, 13, 16, 19])
def test_the_depth_counts_convolutions_and_linear_layers(depth: int) -> None:
    module = vgg_family(depth).build(CIFAR, [2] * len(vgg_widths(depth)), 10)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    assert sum(isinstance(m, nn.MaxPool2d) for m in module.modules()) == 5


@pytest.mark.parametrize(
    ("depth", "published"),
    [(11, 9_231_114), (13, 9_416_010), (16, 14_728_266), (19, 20_040_522)],
)
def test_the_convolutions_are_those_of_the_common_cifar_vgg(depth: int, published: int) -> None:
    """There one linear layer follows, and the convolutions have biases, which the norms cancel."""
    *convs, fc1, fc2 = vgg_widths(depth)
    classifier = 512 * fc1 + fc1 + fc1 * fc2 + fc2 + fc2 * 10 + 10
    ours = vgg_family(depth).size(CIFAR, (*convs, fc1, fc2), 10).parameters
    assert ours - classifier == published - (512 * 10 + 10) - sum(convs)


def test_the_authors_unpruned_vgg16_has_their_42_million_parameters() -> None:
    size = vgg_family(16).size(CIFAR, vgg_widths(16, classifier=(5000, 5000)), 10)
    assert round(size.parameters / 1e6, 1) == 42.3


def test_the_standard_vgg16_has_the_published_macs() -> None:
    *convs, fc1, fc2 = vgg_widths(16)
    size = vgg_family(16).size(CIFAR, (*convs, fc1, fc2), 10)
    assert size.macs - 512 * fc1 - fc1 * fc2 - fc2 * 10 == 313_196_544


def test_names_number_the_layers() -> None:
    names = vgg_family(11).width_names()
    assert names == (*(f"conv{number}" for number in range(1, 9)), "fc1", "fc2")


def test_a_factor_multiplies_the_channels_but_not_the_classifier() -> None:
    widths = vgg_widths(11, factor=0.3, classifier=(7, 9))
    assert widths == (19, 38, 76, 76, 153, 153, 153, 153, 7, 9)
    assert vgg_widths(11, factor=1e-4)[0] == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_not_positive_is_refused(factor: float) -> None:
    with pytest.raises(OptionError, match="factor must be positive"):
        vgg_widths(16, factor=factor)


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(OptionError, match=r"one of \[11, 13, 16, 19\], got 12"):
        vgg_family(12)
