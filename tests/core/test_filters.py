"""A filter multiplies by its gates, in any shape, and can be differentiated."""

import pytest
import torch

from shrinknets_core import Filter, OptionError


def test_a_new_filter_changes_nothing() -> None:
    x = torch.randn(5, 7)
    assert torch.equal(Filter(7)(x), x)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (3, 4, 5, 6), (3, 4, 2, 2, 2)])
def test_the_gate_is_broadcast_over_all_but_the_second_dimension(shape: tuple[int, ...]) -> None:
    layer = Filter(4)
    layer.theta.data = torch.tensor([0.5, -1.0, 2.0, 0.0])
    x = torch.randn(shape)
    expected = torch.stack([x.select(1, k) * max(0.0, layer.theta[k].item()) for k in range(4)], 1)
    assert torch.equal(layer(x), expected)


def test_gradients_agree_with_finite_differences() -> None:
    layer = Filter(3, dtype=torch.float64)
    x = torch.randn(4, 3, 2, dtype=torch.float64, requires_grad=True)
    layer.theta.data.uniform_(0.5, 1.5)
    assert torch.autograd.gradcheck(lambda x, _theta: layer(x), (x, layer.theta))


def test_features_killed_by_hand_pass_nothing_and_are_counted() -> None:
    layer = Filter(4)
    layer.kill(torch.tensor([0, 3]))
    assert layer.num_alive() == 2
    assert layer(torch.ones(1, 4)).tolist() == [[0.0, 1.0, 1.0, 0.0]]


@pytest.mark.parametrize("features", [[2], [-1], [True, False, True]])
def test_killing_features_that_are_not_there_is_refused_and_changes_nothing(
    features: list[int],
) -> None:
    layer = Filter(2)
    with pytest.raises(OptionError, match="indices from 0 to 1, or a mask"):
        layer.kill(torch.tensor(features))
    assert layer.num_alive() == 2


def test_a_filter_without_features_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 1, got 0"):
        Filter(0)
