"""A sweep over λ as one stacked model against the same trainings one after the other.

Eight trials of one network, λ log-spaced, first as the worker trains them, then side by side: the
linear layers padded to one batched product, gates and their proximal update for all at once, the
same batches, every epoch validated. The stack is as wide as the widest of the trials was in that
epoch, so that it shrinks with them; what its networks learn is not looked at, the time alone is.
Trials that end early, checkpoints and batches of its own for each would make it slower.

On CUDA, if there is a device, else on one thread of the CPU, where seconds are those of the
processor. Medians over rounds that take turns.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from benchmarks.machine import describe
from shrinknets_core import EpochRecord, Split, TrainOptions, load_dataset, train_shrinking
from shrinknets_core.batches import draw_batches, place
from shrinknets_core.stacking import LinearStack

TRIALS = 8
LAMBDAS = torch.logspace(-3.5, -1.5, TRIALS).tolist()
Widths = tuple[int, ...]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
seconds_now = time.perf_counter if DEVICE == "cuda" else time.process_time


class GatedStack(LinearStack):
    """Several multi-layer perceptrons with a gate for each hidden feature."""

    def __init__(self, networks: int, inputs: int, widths: Widths, outputs: int) -> None:
        sizes = (inputs, *widths, outputs)
        linears = [nn.Linear(i, o) for i, o in pairwise(sizes)]
        layers = [layer for each in linears for layer in (each, nn.ReLU())][:-1]
        super().__init__([nn.Sequential(*layers) for _ in range(networks)])
        self.gates = nn.ParameterList(torch.ones(networks, 1, width) for width in widths)

    def forward(self, x: Tensor) -> Tensor:
        weights, biases = list(self.weights), list(self.biases)
        first = linear(x.flatten(1), weights[0].flatten(0, 1), biases[0].flatten())
        hidden = first.view(len(x), *biases[0].shape).transpose(0, 1)
        for gate, weight, bias in zip(self.gates, weights[1:], biases[1:], strict=True):
            gated = hidden.relu() * gate.relu()
            hidden = torch.baddbmm(bias.unsqueeze(1), gated, weight.transpose(1, 2))
        return hidden


def one_after_the_other(
    split: Split, widths: Widths, options: TrainOptions
) -> tuple[float, list[Widths]]:
    """Seconds, and for each epoch the widths of the widest trial."""
    started = seconds_now()
    curves = []
    for lam in LAMBDAS:
        events = train_shrinking(split, widths=widths, options=options, lam=lam)
        curves.append([event.widths for event in events if isinstance(event, EpochRecord)])
    seconds = seconds_now() - started
    # A trial that collapsed has no more epochs.
    epochs = [[c[n] for c in curves if n < len(c)] for n in range(max(map(len, curves)))]
    return seconds, [tuple(map(max, zip(*each, strict=True))) for each in epochs]


def side_by_side(split: Split, sizes: list[Widths], options: TrainOptions) -> float:
    """Seconds of as many epochs at these widths."""
    started = seconds_now()
    split = place(split, options.device)
    before: Widths = ()
    for number, widths in enumerate(sizes):
        if widths != before:
            stack, optimizer = _build(split, widths, options)
            before = widths
        for step in _steps(stack, split, options, number):
            optimizer.zero_grad(set_to_none=True)
            step.backward()
            optimizer.step()
            _shrink(stack, options.lr)
        with torch.no_grad():
            hits = stack(split.validation.x).argmax(-1) == split.validation.y
            hits.double().mean(-1).tolist()
    return seconds_now() - started


def _build(
    split: Split, widths: Widths, options: TrainOptions
) -> tuple[GatedStack, torch.optim.Optimizer]:
    inputs = split.train.x[0].numel()
    stack = GatedStack(TRIALS, inputs, widths, split.num_classes).to(options.device)
    return stack, torch.optim.AdamW(stack.parameters(), lr=options.lr, fused=True)


def _steps(stack: GatedStack, split: Split, options: TrainOptions, number: int) -> Iterator[Tensor]:
    order = torch.Generator(options.device).manual_seed(number)
    for x, y in draw_batches(split.train, options.batch_size, order):
        scores = stack(x)
        targets = y.expand(TRIALS, -1).flatten()
        yield cross_entropy(scores.flatten(0, 1), targets, reduction="sum") / len(x)


@torch.no_grad()
def _shrink(stack: GatedStack, lr: float) -> None:
    for gate in stack.gates:
        gate.sub_(lr * LAMBDAS[0]).clamp_(min=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="Only to see that it runs.")
    options = parser.parse_args()
    rounds, epochs = (1, 6) if options.quick else (options.rounds, options.epochs)
    torch.set_num_threads(1)
    split = load_dataset("digits", seed=0)
    print(describe())
    print(
        "| widths | one after the other, s | side by side, s | ratio |\n| --- | --- | --- | --- |"
    )
    for widths in ((32, 16), (256, 256), (1000, 1000)):
        train = TrainOptions(epochs=epochs, seed=0, device=DEVICE)
        alone, together = [], []
        for _ in range(rounds):
            seconds, sizes = one_after_the_other(split, widths, train)
            alone.append(seconds)
            together.append(side_by_side(split, sizes, train))
        ratio = statistics.median(a / b for a, b in zip(alone, together, strict=True))
        medians = f"{statistics.median(alone):.1f} | {statistics.median(together):.1f}"
        print(f"| {'-'.join(map(str, widths))} | {medians} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
