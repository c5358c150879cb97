"""Norms and counts agree with slow loops over single entries, whatever the rank."""

import math
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from shrinknets_core import Shrinker
from shrinknets_core.families import get_family
from shrinknets_core.feature_groups import Group
from shrinknets_core.method import layout
from shrinknets_core.method.layout import Layout, squares
from shrinknets_core.method.norms import scales
from tests.core.conftest import kill_some, make_shrinker


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    masked=st.sets(st.integers(0, 3)),
    seed=st.integers(0, 1000),
    block=st.sampled_from([1, 7, 1 << 16]),
)
def test_sums_of_squares_are_those_of_a_loop_over_entries(
    shape: list[int], masked: set[int], seed: int, block: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    tensor = torch.randn(shape, generator=rng, dtype=torch.float64)
    axes = {axis for axis in masked if axis < len(shape)}
    masks = {a: torch.randint(2, (shape[a],), generator=rng).double() for a in axes}
    expected = [[0.0] * size for size in shape]
    for place in product(*(range(n) for n in shape)):
        for axis, sums in enumerate(expected):
            lives = all(masks[a][place[a]] for a in axes if a != axis)
            sums[place[axis]] += tensor[place].item() ** 2 * lives
    before, layout.BLOCK_ENTRIES = layout.BLOCK_ENTRIES, block
    try:
        found = squares(tensor, masks, range(len(shape)))
    finally:
        layout.BLOCK_ENTRIES = before
    for axis, sums in found.items():
        assert sums.tolist() == pytest.approx(expected[axis], rel=1e-12, abs=1e-300)


def living(shrinker: Shrinker, name: str, axis: int, but: Group | None = None) -> torch.Tensor:
    mask = torch.ones(shrinker.tensors()[name].shape[axis])
    for group in shrinker.groups:
        for slot in group.slots:
            if (slot.tensor, slot.axis) == (name, axis) and group is not but:
                for entry, feature in enumerate(slot.index.tolist()):
                    mask[entry] *= 1 if feature < 0 else group.filter.alive[feature]
    return mask


def slow_scale(shrinker: Shrinker, group: Group, feature: int, *, normed: bool) -> float:
    sums = {"in": 0.0, "out": 0.0}
    sides = set()
    for slot in group.slots:
        tensor = shrinker.tensors()[slot.tensor]
        reads = (slot.tensor, slot.axis) in group.readers
        scale_of_norm = normed and slot.tensor.split(".")[-2].startswith("norm")
        is_scale = scale_of_norm and slot.tensor.endswith("weight")
        if not isinstance(tensor, nn.Parameter):
            continue
        if not reads and not (is_scale if normed else tensor.dim() > 1):
            continue
        side = "out" if reads else "in"
        sides.add(side)
        for place in product(*(range(n) for n in tensor.shape)):
            if slot.index[place[slot.axis]] != feature:
                continue
            lives = all(
                living(shrinker, slot.tensor, a, group if a == slot.axis else None)[place[a]]
                for a in range(tensor.dim())
            )
            sums[side] += tensor[place].item() ** 2 * lives
    return math.prod(math.sqrt(sums[side]) for side in sides)


@pytest.mark.parametrize(
    ("family", "widths", "inputs"),
    [("mlp", [4, 3], (5,)), ("residual_mlp", [4, 3, 2], (5,)), ("lenet5", [2, 3, 4], (1, 16, 16))],
)
def test_scales_are_those_of_a_loop_over_living_entries(
    family: str, widths: list[int], inputs: tuple[int, ...]
) -> None:
    shrinker = make_shrinker(family, widths, inputs=inputs)
    kill_some(shrinker, 0.4, seed=1)
    found = scales(Layout(shrinker.model, shrinker.tensors(), shrinker.groups))
    for group, values in found.items():
        expected = [
            slow_scale(shrinker, group, feature, normed=False) for feature in range(group.size)
        ]
        assert values.tolist() == pytest.approx(expected, rel=1e-9)


class Normed(nn.Module):
    """A convolution, a norm, a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 2, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.norm(self.first(x)).relu()).mean((2, 3))


def test_a_weight_before_a_norm_does_not_count_but_the_norms_scale_does() -> None:
    model = Normed().double()
    nn.init.uniform_(model.norm.weight, 0.5, 2)
    shrinker = Shrinker(model, torch.randn(2, 1, 8, 8, dtype=torch.float64))
    (group,) = shrinker.groups
    layout_ = Layout(model, shrinker.tensors(), shrinker.groups)
    before = scales(layout_)[group]
    expected = model.norm.weight.abs() * model.second.weight.square().sum((0, 2, 3)).sqrt()
    torch.testing.assert_close(before, expected.detach())
    with torch.no_grad():
        model.first.weight.mul_(7)
    assert torch.equal(scales(layout_)[group], before)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mlp", "residual_mlp", "lenet5", "vgg11", "resnet20"])
def test_sizes_are_the_familys_before_and_after_deaths_and_collection(family: str) -> None:
    chosen = get_family(family)
    inputs = (12,) if chosen.image_side is None else (3, 32, 32)
    widths = [3 + position % 4 for position in range(len(chosen.full_widths))]
    shrinker = make_shrinker(family, widths, inputs=inputs, gates="ones")
    assert shrinker.size() == chosen.size(inputs, widths, 4)
    kill_some(shrinker, 0.4, seed=0)
    axes = shrinker.method.count().axes
    left = [axes[f"{layer.path}.weight", 0] for layer in chosen.layers_of(len(widths))]
    assert sum(left) < sum(widths)
    expected = chosen.size(inputs, left, 4)
    assert shrinker.size() == expected
    shrinker.collect()
    assert shrinker.size() == expected
    assert sum(p.numel() for p in shrinker.parameters()) == expected.parameters
