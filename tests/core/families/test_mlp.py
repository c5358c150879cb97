"""Plain and residual multi-layer perceptrons: any depth, and branches that can go."""

import torch
from torch import nn

from shrinknets_core.families import mlp_family
from shrinknets_core.sizes import Size

PLAIN = mlp_family()
RESIDUAL = mlp_family(residual=True)


def test_the_mlp_of_the_papers_first_figure_has_its_published_shape() -> None:
    assert PLAIN.size((784,), (10_000,), 10) == Size(
        parameters=784 * 10_000 + 10_000 + 10_000 * 10 + 10, macs=784 * 10_000 + 10_000 * 10
    )


def test_the_depth_is_that_of_the_widths() -> None:
    module = PLAIN.build((5,), (4, 3, 2), 6)
    shapes = [(m.in_features, m.out_features) for m in module if isinstance(m, nn.Linear)]
    assert shapes == [(5, 4), (4, 3), (3, 2), (2, 6)]
    assert PLAIN.width_names(3) == ("hidden1", "hidden2", "hidden3")


def test_images_are_flattened() -> None:
    module = PLAIN.build((3, 4, 5), (6,), 2)
    x = torch.randn(7, 3, 4, 5)
    assert torch.equal(module(x), module(x.flatten(1)))
    assert PLAIN.size((3, 4, 5), (6,), 2) == PLAIN.size((60,), (6,), 2)


def test_the_residual_count_follows_the_hand_formula() -> None:
    inputs, stream, blocks, classes = 20, 8, (5, 0, 3), 4
    branches = sum(2 * stream * hidden + hidden for hidden in blocks)
    expected = inputs * stream + stream + branches + stream * classes + classes
    assert RESIDUAL.size((inputs,), (stream, *blocks), classes).parameters == expected
    assert RESIDUAL.width_names(4) == ("stream", "block1", "block2", "block3")


def test_a_branch_whose_hidden_features_are_dead_can_be_left_out() -> None:
    full = RESIDUAL.build((6,), (8, 5, 4), 3)
    hidden = full.get_submodule("block1.hidden")
    assert isinstance(hidden, nn.Linear)
    with torch.no_grad():
        hidden.weight.zero_()
        hidden.bias.zero_()
    without = RESIDUAL.build((6,), (8, 0, 4), 3)
    kept = {k: v for k, v in full.state_dict().items() if not k.startswith("block1.")}
    without.load_state_dict(kept)
    x = torch.randn(9, 6)
    assert torch.equal(full(x), without(x))


def test_all_branches_can_be_left_out() -> None:
    module = RESIDUAL.build((6,), (8, 0, 0), 3)
    assert [name for name, _ in module.named_children()] == ["flatten", "stem", "head"]
