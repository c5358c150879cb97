"""How far the final width at one λ moves with learning rate and batch size, on digits.

One hidden layer of 300, trained for 60 epochs at learning rates from 3e-4 to 3e-3 and batches from
32 to 256, which differ 70-fold in how far the weights can go. λ says what a feature must be worth;
it keeps that meaning only if the width that it leads to does not depend on such choices. The spread
is the largest width over the smallest; each width is a median over seeds.
"""

import argparse
import statistics
from itertools import product

import torch

from benchmarks.machine import describe
from shrinknets_core import EpochRecord, Rule, TrainOptions, load_dataset, train_shrinking

RATES = (3e-4, 1e-3, 3e-3)
BATCHES = (32, 64, 128, 256)
FULL = 300
LAMBDAS = {Rule.PROXIMAL: (1e-3, 3e-3, 1e-2), Rule.SUBGRADIENT: (1e-4, 1e-3, 1e-2)}


def final_width(rule: Rule, *, lam: float, rate: float, batch: int, seed: int, epochs: int) -> int:
    split = load_dataset("digits", seed=seed)
    options = TrainOptions(epochs=epochs, batch_size=batch, lr=rate, seed=seed)
    events = train_shrinking(split, widths=(FULL,), options=options, lam=lam, rule=rule)
    return [event.widths[0] for event in events if isinstance(event, EpochRecord)][-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="1 seed, the extremes alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seeds = range(1 if options.quick else options.seeds)
    rates, batches = (RATES[::2], BATCHES[::3]) if options.quick else (RATES, BATCHES)
    print(f"{describe()}\n{len(seeds)} seeds, {options.epochs} epochs")
    print("| rule | λ | spread | widths |\n| --- | --- | --- | --- |")
    for rule, lambdas in LAMBDAS.items():
        for lam in lambdas:
            widths = [
                statistics.median(
                    final_width(
                        rule, lam=lam, rate=rate, batch=batch, seed=seed, epochs=options.epochs
                    )
                    for seed in seeds
                )
                for rate, batch in product(rates, batches)
            ]
            listed = " ".join(f"{width:g}" for width in widths)
            spread = max(widths) / min(widths)
            print(f"| {rule} | {lam:g} | {spread:.1f}× | {listed} |", flush=True)


if __name__ == "__main__":
    main()
