"""A training as an object: iterate over its events, and go on elsewhere from any of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Self

import torch

from shrinknets_core.data import Split
from shrinknets_core.errors import CheckpointError, OptionError
from shrinknets_core.events import TrialEvent
from shrinknets_core.families import Family
from shrinknets_core.training import TrainOptions


class Run(ABC, Iterator[TrialEvent]):
    """A training under way, which yields what happens.

    On the CPU a run that goes on from a state gives bit for bit the epochs and networks of one
    that was never interrupted, with as many threads. It may go on on another kind of device, where
    rows come in another order.

    Attributes:
        description: what is trained on what and how, as plain values; a state fits the runs of the
            same description alone, but for the device.
    """

    def __init__(self, description: Mapping[str, Any]) -> None:
        self.description = dict(description)
        self._ended = False
        self._events: Iterator[TrialEvent] | None = None

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> TrialEvent:
        if self._ended:
            raise StopIteration
        if self._events is None:
            self._events = self._go_on()
        try:
            return next(self._events)
        except StopIteration:
            self._ended = True
            raise

    @property
    @abstractmethod
    def step(self) -> int:
        """The number of the last epoch, 0 before the first."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state after the last event: tensors on the CPU and plain values, nested.

        Nothing in it changes when the run goes on.
        """
        # Before the first epoch there is nothing to tell, and to ask might already change it.
        return {"ended": self._ended, "state": self._state() if self.step else None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in place; the run must not have begun, and is lost on an error.

        Sets torch's global generators too, which layers such as dropout draw from.

        Raises:
            OptionError: the run has begun.
            CheckpointError: the state is of another training.
        """
        if self._events is not None or self.step:
            raise OptionError("run", expected="one that has not begun", got=f"epoch {self.step}")
        try:
            if state["state"] is not None:
                self._restore(state["state"])
            self._ended = bool(state["ended"])
        except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
            raise CheckpointError(
                f"the state does not fit this training ({type(error).__name__}: {error}): "
                "take one of the same kind, or start anew"
            ) from error

    @abstractmethod
    def _go_on(self) -> Iterator[TrialEvent]:
        """Yield the events that follow the present state, which must hold before each yield."""

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Return all that changes."""

    @abstractmethod
    def _restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `_state` returned."""


def describe(
    method: str,
    split: Split,
    widths: Sequence[int],
    options: TrainOptions,
    family: Family,
    **more: Any,
) -> dict[str, Any]:
    """Return a run's description; `more` are plain values of the method's own.

    Of the device only the kind is told.
    """
    where = {"device": torch.device(options.device).type}
    rows = {part: len(getattr(split, part)) for part in ("train", "validation", "test")}
    return {
        "method": method,
        "data": {"name": split.name, "input_shape": list(split.input_shape), **rows},
        "num_classes": split.num_classes,
        "family": family.name,
        "widths": list(widths),
        # In how many parts a batch is trained changes no step, and may change on the way.
        "options": {**asdict(options), **where, "micro_batches": 1},
        **more,
    }
