"""The end of a training: the step size falls, nothing is removed, the best epoch is chosen."""

import math
from collections.abc import Iterator

from shrinknets_core.data import Split
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.snapshots import Origin
from shrinknets_core.trainee import Trainee
from shrinknets_core.training import Choice, Loop, TrainOptions


def anneal(
    loop: Loop, choice: Choice, *, lr: float, epochs: int, phase: Phase
) -> Iterator[EpochRecord]:
    """Train on while the step size falls to zero along a cosine; offers each epoch to choice."""
    for epoch in range(epochs):
        record = loop.epoch(phase=phase, lr=annealed(lr, epoch, epochs))
        choice.offer(record, loop.trainee)
        yield record


def annealed(lr: float, epoch: int, epochs: int) -> float:
    """Return the step size of one of so many epochs, the first of which is 0."""
    share = (epoch + 1) / (epochs + 1)
    return lr * (1 + math.cos(math.pi * share)) / 2


def polish(
    origin: Origin,
    split: Split,
    options: TrainOptions,
    choice: Choice,
    *,
    first_step: int,
    epochs: int,
) -> Iterator[EpochRecord]:
    """Anneal a plain copy of a network that has shrunk; its dead features must be collected."""
    widths = [len(ids) for ids in origin.kept()]
    copy = Trainee(origin.family, origin.plain(), split, widths)
    loop = Loop(copy, split, options, first_step=first_step)
    yield from anneal(loop, choice, lr=options.lr, epochs=epochs, phase=Phase.POLISH)
