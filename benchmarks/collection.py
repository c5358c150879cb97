"""How long a collection takes, against a training step and against Torch-Pruning.

    python -m benchmarks.collection [--peer]

Three figures, each the median of interleaved repetitions, on one thread:
1. half of four layers of 4,000 (784 inputs, 10 classes), AdamW's state included, against one
   training step (batch 128) of the network before;
2. half of 784-5000-5000-10, without an optimiser;
3. with --peer, Torch-Pruning 1.6.1 doing the same as 2 (it must be installed beside this project).
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from shrinknets_core import Shrinker

REPEATS = 5


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="store_true", help="measure Torch-Pruning as well")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, Python "
        f"{sys.version.split()[0]}, torch {torch.__version__}, 1 thread, median of {REPEATS}"
    )
    step, collection = alternate(deep_step, deep_collection)
    print(
        f"4 x 4000: step {step:.0f} ms, collection {collection:.0f} ms, "
        f"ratio {collection / step:.2f}"
    )
    if not options.peer:
        print(f"784-5000-5000-10: {alternate(wide_collection)[0]:.0f} ms")
        return
    ours, theirs = alternate(wide_collection, wide_peer)
    print(
        f"784-5000-5000-10: {ours:.0f} ms, Torch-Pruning {theirs:.0f} ms, ratio {ours / theirs:.2f}"
    )


def alternate(*measures: Callable[[], float]) -> list[float]:
    """Take turns, and return each one's median in milliseconds."""
    rounds = [[measure() * 1e3 for measure in measures] for _ in range(REPEATS)]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers with a ReLU between any two."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def deep() -> tuple[nn.Module, Shrinker, torch.optim.Optimizer]:
    """Make the network of four layers, trained for one step."""
    model = mlp(784, *[4000] * 4, 10)
    shrinker = Shrinker(model, torch.randn(2, 784))
    optimizer = torch.optim.AdamW(shrinker.parameters(), fused=True)
    train(model, optimizer)
    return model, shrinker, optimizer


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Take one step on random rows."""
    x, y = torch.randn(128, 784), torch.randint(10, (128,))
    cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad()


def deep_step() -> float:
    """Seconds of a training step."""
    model, _, optimizer = deep()
    started = time.perf_counter()
    train(model, optimizer)
    return time.perf_counter() - started


def deep_collection() -> float:
    """Seconds of a collection with the optimiser's state."""
    _, shrinker, optimizer = deep()
    kill_half(shrinker)
    started = time.perf_counter()
    shrinker.collect(optimizer)
    return time.perf_counter() - started


def wide_collection() -> float:
    """Seconds of a collection without an optimiser."""
    shrinker = Shrinker(mlp(784, 5000, 5000, 10), torch.randn(2, 784))
    kill_half(shrinker)
    started = time.perf_counter()
    shrinker.collect()
    return time.perf_counter() - started


def kill_half(shrinker: Shrinker) -> None:
    """Mark every other feature dead."""
    for group in shrinker.groups:
        group.kill(torch.arange(0, group.size, 2))


def wide_peer() -> float:
    """Seconds that Torch-Pruning takes to choose at random and remove half."""
    import torch_pruning as tp  # noqa: PLC0415 - not a dependency

    model, example = mlp(784, 5000, 5000, 10), torch.randn(2, 784)
    started = time.perf_counter()
    pruner = tp.pruner.MagnitudePruner(
        model, example, importance=tp.importance.RandomImportance(), pruning_ratio=0.5,
        ignored_layers=[model[-1]],
    )  # fmt: skip
    pruner.step()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
