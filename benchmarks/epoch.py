"""One training epoch through our loop against a plain PyTorch loop over the same tensors.

The MLP 784-5000-5000-10, batch 128, float32. Three loops take turns, one epoch each, and the ratios
are between medians of the same run:

- plain: nn.Sequential and torch.optim.AdamW as most people write them;
- plain, fused: the same with AdamW(fused=True), so that the optimiser is no difference;
- ours: the loop of `shrinknets_core` with filters, λ > 0, nothing dead.

Then the same after shrinking: ours has lost all but some features by collection, the plain loops
run new networks of those widths. An epoch has one step at full width and 40 after, so that turns
are short: a machine that slows down for a second then slows all of them.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from shrinknets_core import Phase, Rows, ShrinkOptions, Split, TrainOptions
from shrinknets_core.families import mlp_family
from shrinknets_core.finishing import plain_layers
from shrinknets_core.training import Loop

INPUTS, CLASSES = 784, 10
WIDE = (5000, 5000)


def random_split(rows: int, device: str) -> Split:
    """Make data of MNIST's shape: what they hold does not change the time."""
    x, y = torch.randn(rows, INPUTS), torch.randint(CLASSES, (rows,))
    part, few = Rows(x=x, y=y), Rows(x=x[:2], y=y[:2])
    split = Split(
        name="random",
        train=part,
        validation=few,
        test=few,
        mean=torch.zeros(INPUTS),
        std=torch.ones(INPUTS),
        num_classes=CLASSES,
    )
    return split.to(device)


def plain_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, batch: int
) -> float:
    started = time.perf_counter()
    total = 0.0
    for indices in torch.randperm(len(x), device=x.device).split(batch):
        optimizer.zero_grad()
        loss = cross_entropy(model(x[indices]), y[indices])
        loss.backward()
        optimizer.step()
    total += loss.item()
    return time.perf_counter() - started


def our_epoch(loop: Loop) -> float:
    return loop.epoch(phase=Phase.SHRINK, lr=1e-3).seconds


def shrink(loop: Loop, widths: tuple[int, ...]) -> None:
    """Take one step, so that the optimiser has state; then leave so many features and collect."""
    few = Split(**{**vars(loop.split), "train": loop.split.validation})
    whole, loop.split = loop.split, few
    our_epoch(loop)
    assert loop.trainee.shrinker is not None
    for group, width in zip(loop.trainee.shrinker.groups, widths, strict=True):
        group.kill(range(width, group.size))
    loop.collect()
    loop.split = whole


def loops(widths: tuple[int, ...], split: Split, batch: int) -> dict[str, Callable[[], float]]:
    device = split.train.x.device
    plain = [plain_layers(INPUTS, widths, CLASSES).to(device) for _ in range(2)]
    optimizers = [
        torch.optim.AdamW(plain[0].parameters(), lr=1e-3, weight_decay=0.0),
        torch.optim.AdamW(plain[1].parameters(), lr=1e-3, weight_decay=0.0, fused=True),
    ]
    options = TrainOptions(batch_size=batch, device=str(device))
    # So small a penalty that nothing dies, but every operation is done.
    trainee = options.build(split, WIDE, family=mlp_family(), shrink=ShrinkOptions())
    assert trainee.shrinker is not None
    trainee.shrinker.lam = 1e-9
    loop = Loop(trainee, split, options)
    shrink(loop, widths)
    data = (split.train.x, split.train.y, batch)
    return {
        "plain": partial(plain_epoch, plain[0], optimizers[0], *data),
        "plain, fused": partial(plain_epoch, plain[1], optimizers[1], *data),
        "ours": partial(our_epoch, loop),
    }


def measure(widths: tuple[int, ...], *, rows: int, batch: int, rounds: int, device: str) -> None:
    epochs = loops(widths, random_split(rows, device), batch)
    times: dict[str, list[float]] = {name: [] for name in epochs}
    for turn in range(rounds + 1):
        for name, epoch in epochs.items():
            seconds = epoch()
            if turn > 0:
                times[name].append(seconds)
    steps = -(-rows // batch)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        print(
            f"{'-'.join(map(str, widths)):>12}  {name:<13} {1000 * median / steps:8.2f} ms/step"
            f"   ours / this {medians['ours'] / median:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {options.device}, {options.threads} threads, batch 128")
    common = {"batch": 128, "rounds": options.rounds, "device": options.device}
    measure(WIDE, rows=128, **common)
    for widths in ((400, 250), (100, 60), (30, 20)):
        measure(widths, rows=128 * 40, **common)


if __name__ == "__main__":
    main()
