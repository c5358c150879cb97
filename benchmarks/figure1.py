"""The paper's first figure: λ alone sets the width of one hidden layer of 10,000 on MNIST.

    python -m benchmarks.figure1 --data mnist.npz [--epochs 100] [--lam 1e-1 …]

The compatibility mode, which is the paper's rule: gates drawn from U(0, 1), trained by Adam at 1e-3
in batches of 256, λ|θ|₁ in the loss. The file has `x_train` and `x_test`, (n, 28, 28) uint8,
`y_train` and `y_test`. Prints the living units at the epochs for which the authors' logs were read,
100 the last; fewer epochs make a shortened run.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.machine import describe
from shrinknets_core import EpochRecord, Rule, TrainOptions, train_shrinking
from shrinknets_core.data import Rows, Split

FULL = 10_000
SHOWN = (1, 2, 5, 10, 20, 50, 100)
AUTHORS = {
    1e-1: {1: 7634, 2: 5289, 5: 35, 10: 25, 100: 25},
    1e-2: {1: 7708, 2: 5349, 5: 121, 10: 56, 100: 54},
    1e-3: {1: 7980, 2: 5719, 5: 542, 10: 175, 100: 104},
    1e-4: {1: 9072, 2: 7962, 5: 4153, 10: 1317, 100: 172},
    1e-5: {1: 9836, 2: 9636, 5: 8825, 10: 7292, 100: 441},
}
"""Living units after an epoch, by λ."""


def load(file: Path) -> Split:
    """Read all training rows as such, and the test rows for the other two parts."""
    with np.load(file, allow_pickle=False) as data:
        x = {
            part: torch.from_numpy(data[f"x_{part}"]).flatten(1) / 255 for part in ("train", "test")
        }
        y = {part: torch.from_numpy(data[f"y_{part}"]).long() for part in ("train", "test")}
    mean, std = x["train"].mean(), x["train"].std()
    rows = {part: Rows(x=(x[part] - mean) / std, y=y[part]) for part in x}
    ones = torch.ones(x["train"].shape[1])
    return Split(
        name="mnist",
        train=rows["train"],
        validation=rows["test"],
        test=rows["test"],
        mean=mean * ones,
        std=std * ones,
        num_classes=10,
    )


def widths_at(split: Split, lam: float, epochs: int, seed: int) -> dict[int, EpochRecord]:
    """Train at one λ and return what each epoch said."""
    options = TrainOptions(epochs=epochs, batch_size=256, lr=1e-3, seed=seed)
    events = train_shrinking(split, widths=(FULL,), options=options, lam=lam, rule=Rule.SUBGRADIENT)
    return {event.step: event for event in events if isinstance(event, EpochRecord)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="npz file with MNIST")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--lam", type=float, nargs="*", default=list(AUTHORS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = load(options.data)
    shown = sorted({epoch for epoch in SHOWN if epoch <= options.epochs} | {options.epochs})
    print(f"{describe()}\nliving units: ours (the authors')")
    print("| λ | " + " | ".join(f"epoch {epoch}" for epoch in shown) + " | loss | test % | s |")
    print("| --- |" + " --- |" * (len(shown) + 3))
    for lam in options.lam:
        started = time.perf_counter()
        records = widths_at(split, lam, options.epochs, options.seed)
        theirs = AUTHORS.get(lam, {})
        cells = [f"{records[e].widths[0]} ({theirs.get(e, '–')})" for e in shown]
        last = records[shown[-1]]
        took = time.perf_counter() - started
        measures = f"{last.train_loss:.4f} | {100 * last.validation_accuracy:.2f} | {took:.0f}"
        print(f"| {lam:g} | {' | '.join(cells)} | {measures} |", flush=True)


if __name__ == "__main__":
    main()
