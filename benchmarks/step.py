"""What gates cost: time and memory of a training step with them, against the plain network.

    python -m benchmarks.step [--quick]

Four measures for each network, on one thread, AdamW (fused) on random images:
- a step with gates, nothing dead, against a plain step;
- a step after half of all features were removed, gates still in place, against a plain network of
  those widths;
- the same with gates folded (`finish`);
- the memory that torch has allocated at the peak of a step, with gates against without.
Times are medians of interleaved steps. The proximal rule runs in every step with gates.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import describe
from shrinknets_core import Shrinker, ShrinkOptions
from shrinknets_core.families import get_family, vgg_widths

OPTIONS = ShrinkOptions(warmup_steps=0, ramp_steps=0, check_steps=10**9)
NETWORKS: dict[str, tuple[str, tuple[int, ...], tuple[int, ...], int]] = {
    "MLP 5000-5000": ("mlp", (784,), (5000, 5000), 128),
    "LeNet-5 50-50-5000": ("lenet5", (1, 28, 28), (50, 50, 5000), 128),
    "VGG16-BN": ("vgg16", (3, 32, 32), vgg_widths(16), 32),
}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="3 steps of each instead of 9")
    repeats = 3 if parser.parse_args().quick else 9
    torch.set_num_threads(1)
    print(describe())
    print(
        "| network | with gates / plain | half removed, gated / plain | folded / plain | memory |"
    )
    print("| --- | --- | --- | --- | --- |")
    for name in NETWORKS:
        full, half, folded = times(name, repeats)
        print(f"| {name} | {full:.2f} | {half:.2f} | {folded:.2f} | {memory(name):.2f} |")


def build(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Make a network with a batch of random images and labels."""
    family, shape, widths, batch = NETWORKS[name]
    torch.manual_seed(0)
    model = get_family(family).build(shape, widths, 10)
    return model, torch.randn(batch, *shape), torch.randint(10, (batch,))


def step_of(
    model: nn.Module, x: Tensor, y: Tensor, shrinker: Shrinker | None = None
) -> Callable[[], None]:
    """Return a function that takes one training step."""
    parameters = model.parameters() if shrinker is None else shrinker.parameters()
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)

    def step() -> None:
        cross_entropy(model(x), y).backward()
        optimizer.step()
        if shrinker is not None:
            shrinker.step()
        optimizer.zero_grad()

    return step


def times(name: str, repeats: int) -> tuple[float, float, float]:
    """Return the three ratios of times."""
    model, x, y = build(name)
    plain = step_of(copy.deepcopy(model), x, y)
    shrinker = Shrinker(model, x, lam=1e-6, options=OPTIONS)
    full = ratio(step_of(model, x, y, shrinker), plain, repeats)
    for group in shrinker.groups:
        group.kill(range(1, group.size, 2))
    shrinker.collect()
    other, _, _ = build(name)
    twin = Shrinker(other, x, options=OPTIONS)
    for group in twin.groups:
        group.kill(range(1, group.size, 2))
    small = twin.finish()
    again = step_of(small, x, y)
    half = ratio(step_of(model, x, y, shrinker), again, 3 * repeats)
    folded = ratio(step_of(shrinker.finish(), x, y), again, 3 * repeats)
    return full, half, folded


def ratio(ours: Callable[[], None], plain: Callable[[], None], repeats: int) -> float:
    """Take turns, and return the ratio of the medians."""
    seconds: list[list[float]] = [[], []]
    for number in range(repeats + 1):
        for column, step in zip(seconds, (ours, plain), strict=True):
            started = time.perf_counter()
            step()
            if number:
                column.append(time.perf_counter() - started)
    return statistics.median(seconds[0]) / statistics.median(seconds[1])


def memory(name: str) -> float:
    """Return the ratio of what torch holds at a step's peak, with gates against without."""
    with_gates, without = (peak_bytes(name, gated=gated) for gated in (True, False))
    return with_gates / without


def peak_bytes(name: str, *, gated: bool) -> int:
    """Count weights, the optimiser's two moments, and what a step allocates at its peak."""
    model, x, y = build(name)
    shrinker = Shrinker(model, x[:2], lam=1e-6, options=OPTIONS) if gated else None
    step = step_of(model, x, y, shrinker)
    step()
    held = 3 * sum(parameter.nbytes for parameter in model.parameters())
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    changes = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes.sort(key=lambda event: event.start_ns())
    return held + max(accumulate(event.nbytes() for event in changes))


if __name__ == "__main__":
    main()
