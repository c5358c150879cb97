"""LeNet-5 has the paper's size, and cuts its flattened input from the tensor."""

import pytest
import torch

from shrinknets_core.families import lenet_family

LENET = lenet_family()


def test_the_bounds_are_the_papers() -> None:
    assert dict(zip(LENET.width_names(), LENET.full_widths, strict=True)) == {
        "conv1": 50,
        "conv2": 50,
        "fc": 5000,
    }


def test_on_mnist_it_has_the_published_four_million_parameters() -> None:
    convs = 50 * 1 * 25 + 50 + 50 * 50 * 25 + 50
    linears = 50 * 4 * 4 * 5000 + 5000 + 5000 * 10 + 10
    size = LENET.size((1, 28, 28), LENET.full_widths, 10)
    assert size.parameters == convs + linears == 4_118_860
    assert size.macs == 50 * 25 * 24**2 + 50 * 50 * 25 * 8**2 + 800 * 5000 + 5000 * 10


def test_on_cifar_the_published_count_includes_the_gates() -> None:
    size = LENET.size((3, 32, 32), LENET.full_widths, 10)
    assert size.parameters == 6_371_360
    gates = sum(LENET.full_widths)
    assert round((size.parameters + gates) / 1e6, 2) == 6.38


@pytest.mark.parametrize("side", [16, 17, 18, 19, 20, 28, 31, 32])
def test_the_flattened_size_fits_images_of_any_side(side: int) -> None:
    module = LENET.build((2, side, side + 3), (3, 4, 5), 6)
    assert module(torch.zeros(2, 2, side, side + 3)).shape == (2, 6)


def test_flattening_follows_the_tensor_when_channels_go() -> None:
    module = LENET.build((1, 28, 28), (3, 4, 5), 6)
    narrow = LENET.build((1, 28, 28), (3, 2, 5), 6)
    module.conv2, module.fc = narrow.conv2, narrow.fc
    assert module(torch.zeros(2, 1, 28, 28)).shape == (2, 6)
