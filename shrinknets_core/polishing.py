"""The end of a training: the step size falls, nothing is removed, the best epoch is chosen."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from shrinknets_core.choice import Choice
from shrinknets_core.data import Split
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.snapshots import Origin
from shrinknets_core.states import copied
from shrinknets_core.trainee import Trainee
from shrinknets_core.training import Loop, TrainOptions


def anneal(
    loop: Loop, choice: Choice, *, lr: float, epochs: int, phase: Phase, first_step: int
) -> Iterator[EpochRecord]:
    """Train on while the step size falls to zero along a cosine; offers each epoch to choice.

    Goes on where the loop stands; `first_step` is the number of the epoch before the first one.
    """
    for epoch in range(loop.step - first_step, epochs):
        record = loop.epoch(phase=phase, lr=annealed(lr, epoch, epochs))
        choice.offer(record, loop.trainee)
        yield record


def annealed(lr: float, epoch: int, epochs: int) -> float:
    """Return the step size of one of so many epochs, the first of which is 0."""
    share = (epoch + 1) / (epochs + 1)
    return lr * (1 + math.cos(math.pi * share)) / 2


class Polish:
    """Anneals a plain copy of a network that has shrunk; its dead features must be collected.

    Attributes:
        choice: among the epochs so far.
    """

    def __init__(
        self, origin: Origin, split: Split, options: TrainOptions, *, first_step: int, epochs: int
    ) -> None:
        widths = [len(ids) for ids in origin.kept()]
        copy = Trainee(origin.family, origin.plain(), split, widths)
        self.choice = Choice()
        self._loop = Loop(copy, split, options, first_step=first_step)
        self._lr = options.lr
        self._first_step = first_step
        self._epochs = epochs

    @property
    def step(self) -> int:
        """The number of the last epoch."""
        return self._loop.step

    def epochs(self) -> Iterator[EpochRecord]:
        """Train for the epochs that are left."""
        return anneal(
            self._loop,
            self.choice,
            lr=self._lr,
            epochs=self._epochs,
            phase=Phase.POLISH,
            first_step=self._first_step,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands, in copies on the CPU."""
        return {
            "first_step": self._first_step,
            "loop": copied(self._loop.state_dict()),
            "choice": self.choice.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of the same network, in place."""
        self._first_step = int(state["first_step"])
        self._loop.load_state_dict(state["loop"])
        self.choice.load_state_dict(state["choice"], self._loop.trainee.rebuild)
