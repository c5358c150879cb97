"""CIFAR's residual networks have the published sizes; blocks can be narrowed and left out."""

import pytest
import torch
from torch import nn

from shrinknets_core.errors import OptionError
from shrinknets_core.families import resnet_family, resnet_widths

CIFAR = (3, 32, 32)
PROJECTIONS = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
"""Parameters of the two shortcuts of option B, which the paper's networks don't have."""


@pytest.mark.parametrize(
    ("depth", "published_millions", "exact"),
    [(20, 0.27, 272_474), (32, 0.46, 466_906), (44, 0.66, 661_338), (56, 0.85, 855_770)],
)
def test_parameters_are_the_papers_and_two_projections(
    depth: int, published_millions: float, exact: int
) -> None:
    parameters = resnet_family(depth).size(CIFAR, resnet_widths(depth), 10).parameters
    assert parameters == exact
    assert round((parameters - PROJECTIONS) / 1e6, 2) == published_millions


@pytest.mark.parametrize(
    ("depth", "published_millions"), [(20, 40.81), (32, 69.12), (44, 97.44), (56, 125.75)]
)
def test_macs_are_the_published_ones_with_option_b(depth: int, published_millions: float) -> None:
    macs = resnet_family(depth).size(CIFAR, resnet_widths(depth), 10).macs
    assert round(macs / 1e6, 2) == published_millions


@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_depth_counts_the_layers_but_not_the_projections(depth: int) -> None:
    module = resnet_family(depth).build(CIFAR, [2] * len(resnet_widths(depth)), 10)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth + 2


def test_names_are_stages_and_their_blocks() -> None:
    names = resnet_family(20).width_names()
    assert names[:5] == ("stage1", "stage1.block1", "stage1.block2", "stage1.block3", "stage2")
    assert len(names) == 12


def test_a_stage_may_be_narrower_than_the_one_before() -> None:
    family = resnet_family(20)
    module = family.build(CIFAR, (8, 3, 3, 3, 4, 3, 3, 3, 2, 3, 3, 3), 10)
    assert module(torch.randn(2, *CIFAR)).shape == (2, 10)


@pytest.mark.parametrize("side", [4, 5, 7, 8, 28])
def test_small_and_odd_images_will_do(side: int) -> None:
    family = resnet_family(20)
    module = family.build((1, side, side + 1), [2] * 12, 10)
    assert module(torch.randn(3, 1, side, side + 1)).shape == (3, 10)


def test_blocks_of_width_zero_are_left_out_but_for_their_projection() -> None:
    family = resnet_family(20)
    module = family.build(CIFAR, (4, 0, 0, 0, 5, 0, 3, 0, 6, 2, 0, 0), 10)
    names = [name for name, _ in module.named_modules() if name.count(".") == 1]
    assert [name for name in names if "block" in name] == [
        "stage2.block1",
        "stage2.block2",
        "stage3.block1",
    ]
    assert isinstance(module.get_submodule("stage2.block1.shortcut.conv"), nn.Conv2d)
    assert module(torch.randn(2, *CIFAR)).shape == (2, 10)


def test_a_branch_that_gives_zero_can_be_left_out() -> None:
    family = resnet_family(20)
    widths = [3] * 12
    full = family.build(CIFAR, widths, 10).eval()
    with torch.no_grad():
        for block in ("stage1.block2", "stage2.block1"):
            last = full.get_submodule(f"{block}.norm2")
            assert isinstance(last, nn.BatchNorm2d)
            last.weight.zero_()
    without = family.build(CIFAR, [*widths[:2], 0, 3, 3, 0, *widths[6:]], 10).eval()
    state = full.state_dict()
    without.load_state_dict({name: state[name] for name in without.state_dict()})
    x = torch.randn(2, *CIFAR)
    torch.testing.assert_close(full(x), without(x))


def test_a_factor_multiplies_all_channels() -> None:
    assert resnet_widths(20, factor=0.5) == (8,) * 4 + (16,) * 4 + (32,) * 4
    assert resnet_widths(20, factor=1e-3)[0] == 1


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan")])
def test_a_factor_that_is_not_positive_is_refused(factor: float) -> None:
    with pytest.raises(OptionError, match="factor must be positive"):
        resnet_widths(20, factor=factor)


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(OptionError, match="depth of a ResNet"):
        resnet_family(18)
