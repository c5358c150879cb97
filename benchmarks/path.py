"""The λ path against separately trained fixed networks of the same widths, on digits.

One hidden layer of 1,000. The path's networks come at widths of its own; between two of them the
test accuracy at a given width is read off a straight line over the logarithm of the width. A fixed
network of that width is trained on the same rows, in the same batches, for the epochs of a single
training. Means over seeds, which settle the split, the weights and the order of the rows; the
difference is paired by seed and comes with its standard error.

At the end one path is timed against a search of 50 fixed networks whose widths are drawn
log-uniformly, both on the first seed and after one another. Seconds are those of the processor:
with one thread nothing else that the machine does counts.
"""

import argparse
import math
import random
import statistics
import time
from itertools import pairwise

import torch

from benchmarks.machine import describe
from shrinknets_core import (
    Split,
    TrainedNetwork,
    TrainOptions,
    follow_path,
    load_dataset,
    train_fixed,
)

WIDTHS = (12, 16, 24, 32, 48, 64, 96, 128)
FULL = 1000


def path_points(split: Split, options: TrainOptions) -> dict[int, float]:
    """Return the test accuracy of each of the path's networks by its width."""
    events = follow_path(split, widths=(FULL,), options=options)
    networks = [event for event in events if isinstance(event, TrainedNetwork)]
    return {network.widths[0]: network.test_accuracy for network in networks}


def accuracy_at(points: dict[int, float], width: int) -> float:
    """Read the accuracy at a width off the line between the next networks on both sides."""
    widths = sorted(points)
    for low, high in pairwise(widths):
        if low <= width <= high:
            share = math.log(width / low) / math.log(high / low)
            return (1 - share) * points[low] + share * points[high]
    return points[min(widths, key=lambda w: abs(w - width))]


def fixed_accuracy(split: Split, width: int, options: TrainOptions) -> float:
    *_, network = train_fixed(split, widths=(width,), options=options)
    assert isinstance(network, TrainedNetwork)
    return network.test_accuracy


def search_seconds(split: Split, options: TrainOptions, *, trials: int) -> float:
    """Train fixed networks of random widths, one after the other, and return the seconds."""
    rng = random.Random(0)  # noqa: S311  (no secret)
    started = time.process_time()
    for _ in range(trials):
        width = round(math.exp(rng.uniform(math.log(WIDTHS[0]), math.log(FULL))))
        fixed_accuracy(split, width, options)
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="2 seeds, 3 widths")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count = 2 if options.quick else options.seeds
    seeds = range(options.first_seed, options.first_seed + count)
    widths = WIDTHS[::3] if options.quick else WIDTHS
    rows: dict[int, list[tuple[float, float]]] = {width: [] for width in widths}
    seconds = []
    for seed in seeds:
        split = load_dataset("digits", seed=seed)
        train = TrainOptions(epochs=options.epochs, seed=seed)
        started = time.process_time()
        points = path_points(split, train)
        seconds.append(time.process_time() - started)
        for width in widths:
            fixed = fixed_accuracy(split, width, train)
            rows[width].append((accuracy_at(points, width), fixed))
    print(describe())
    print(f"seeds {seeds[0]} to {seeds[-1]}, {options.epochs} epochs; one path takes", end=" ")
    print(f"{statistics.median(seconds):.1f} s (median)")
    print("| width | path % | fixed % | difference |\n| --- | --- | --- | --- |")
    for width, pairs in rows.items():
        differences = [100 * (ours - theirs) for ours, theirs in pairs]
        mean = statistics.mean(differences)
        error = statistics.stdev(differences) / math.sqrt(len(pairs))
        ours, theirs = (100 * statistics.mean(side) for side in zip(*pairs, strict=True))
        print(f"| {width} | {ours:.2f} | {theirs:.2f} | {mean:+.2f} ± {error:.2f} |")
    split, train = load_dataset("digits", seed=0), TrainOptions(epochs=options.epochs)
    trials = 5 if options.quick else 50
    whole = search_seconds(split, train, trials=trials)
    started = time.process_time()
    path_points(split, train)
    ours = time.process_time() - started
    print(f"one path {ours:.1f} s, {trials} fixed networks {whole:.1f} s: {ours / whole:.2f}")


if __name__ == "__main__":
    main()
