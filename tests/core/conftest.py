"""Small networks and data for the library's tests."""

from collections.abc import Iterator

import pytest
import torch

from shrinknets_core import Shrinker, ShrinkOptions, Split, TrainOptions, load_dataset
from shrinknets_core.families import get_family


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


def make_shrinker(
    family: str,
    widths: list[int],
    *,
    inputs: tuple[int, ...] = (6,),
    outputs: int = 4,
    seed: int = 0,
    gates: str = "random",
    lam: float = 0.0,
    options: ShrinkOptions | None = None,
) -> Shrinker:
    """Gate a float64 network of a family whose gates are random positive numbers, not ones."""
    torch.manual_seed(seed)
    model = get_family(family).build(inputs, widths, outputs).double()
    shrinker = Shrinker(model, torch.randn(2, *inputs).double(), lam=lam, options=options)
    if gates == "random":
        for theta in shrinker.gates():
            theta.data.uniform_(0.1, 2.0)
    return shrinker


def kill_some(shrinker: Shrinker, share: float, *, seed: int) -> None:
    """Mark a random share of each group's living features dead, but never all."""
    rng = torch.Generator().manual_seed(seed)
    for group in shrinker.groups:
        living = group.filter.alive.nonzero().flatten()
        order = living[torch.randperm(len(living), generator=rng)]
        group.kill(order[: min(int(share * len(order)), len(order) - 1)])
