"""Small networks and data for the library's tests."""

from collections.abc import Iterator

import pytest
import torch

from shrinknets_core import MLP, Split, TrainOptions, load_dataset


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def digits() -> Split:
    return load_dataset("digits", seed=0)


@pytest.fixture
def quick() -> TrainOptions:
    return TrainOptions(epochs=6, batch_size=128)


def make_mlp(
    inputs: int, widths: list[int], outputs: int, *, seed: int, gates: str = "random"
) -> MLP:
    """Build a float64 MLP whose gates are random positive numbers, not ones."""
    torch.manual_seed(seed)
    model = MLP(inputs, widths, outputs).double()
    if gates == "random":
        for theta in model.gates():
            theta.data.uniform_(0.1, 2.0)
    return model


def kill_some(model: MLP, share: float, *, seed: int) -> None:
    """Mark a random share of each layer's living features dead, but never all."""
    rng = torch.Generator().manual_seed(seed)
    for layer in model.gatings():
        living = layer.alive.nonzero().flatten()
        order = living[torch.randperm(len(living), generator=rng)]
        layer.kill(order[: min(int(share * len(order)), len(order) - 1)])
