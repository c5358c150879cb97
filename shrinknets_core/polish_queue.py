"""Which of a path's networks are polished together, and when."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from shrinknets_core.data import Split
from shrinknets_core.events import TrialEvent
from shrinknets_core.finishing import finish
from shrinknets_core.polishing import Polish
from shrinknets_core.polishing_together import PolishTogether
from shrinknets_core.snapshots import Snapshot, load_snapshot
from shrinknets_core.stacking import can_stack
from shrinknets_core.training import Loop, TrainOptions

STACK_PARAMETERS = 1 << 17
"""What a stack may have, padding included: beyond it arithmetic costs more than the calls saved."""


class PolishQueue:
    """Collects snapshots, the largest first, and polishes as many at once as pays.

    Attributes:
        waiting: the snapshots that are not yet polished.

    Args:
        loop: its count of epochs goes on with those of each polish; not trained here.
        options: how to train.
        epochs: of each polish.
    """

    def __init__(self, loop: Loop, options: TrainOptions, *, epochs: int) -> None:
        self.waiting: list[Snapshot] = []
        self._loop = loop
        self._options = options
        self._epochs = epochs
        self._due: list[list[Snapshot]] = []
        """The first of them is being polished once there is a batch."""
        self._batch: _Alone | PolishTogether | None = None

    @property
    def step(self) -> int:
        """The number of the last epoch, of the loop or of a polish."""
        return self._loop.step if self._batch is None else self._batch.step

    def add(self, snapshot: Snapshot) -> Iterator[TrialEvent]:
        """Take a snapshot, and polish what waits where no further one would fit."""
        self.put(snapshot)
        yield from self.go_on()

    def flush(self) -> Iterator[TrialEvent]:
        """Polish all that wait."""
        self.close()
        yield from self.go_on()

    def put(self, snapshot: Snapshot) -> None:
        """Take a snapshot; `go_on` polishes what no further one would fit to."""
        if not self._fit([*self.waiting, snapshot]):
            self.close()
        self.waiting.append(snapshot)
        if not self._fit([*self.waiting, snapshot]):
            self.close()

    def _fit(self, snapshots: Sequence[Snapshot]) -> bool:
        # A stack takes whole batches, of rows that lie on its device.
        device = torch.device(self._options.device)
        is_there = self._loop.split.train.x.device.type == device.type
        return is_there and self._options.micro_batches == 1 and fit_together(snapshots)

    def close(self) -> None:
        """Let nobody join those that wait; `go_on` polishes them."""
        if self.waiting:
            self._due.append(self.waiting)
            self.waiting = []

    def go_on(self) -> Iterator[TrialEvent]:
        """Polish what is due."""
        while self._due:
            if self._batch is None:
                first_step = self._loop.step
                self._loop.step += self._epochs * len(self._due[0])
                self._batch = self._begin(self._due[0], first_step)
            yield from self._batch.events()
            self._batch = None
            del self._due[0]

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands, in copies on the CPU."""
        return {
            "waiting": [snapshot.state_dict() for snapshot in self.waiting],
            "due": [[snapshot.state_dict() for snapshot in batch] for batch in self._due],
            "batch": None if self._batch is None else self._batch.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in place, after the loop did so."""
        trainee = self._loop.trainee
        self.waiting = [load_snapshot(trainee, one) for one in state["waiting"]]
        self._due = [[load_snapshot(trainee, one) for one in batch] for batch in state["due"]]
        if state["batch"] is not None:
            self._batch = self._begin(self._due[0], 0)
            self._batch.load_state_dict(state["batch"])

    def _begin(self, snapshots: Sequence[Snapshot], first_step: int) -> "_Alone | PolishTogether":
        split, options = self._loop.split, self._options
        if len(snapshots) > 1:
            return PolishTogether(
                snapshots, split, options, first_step=first_step, epochs=self._epochs
            )
        polish = Polish(snapshots[0], split, options, first_step=first_step, epochs=self._epochs)
        return _Alone(snapshots[0], split, polish)


class _Alone:
    """The polish of one network, with a state after each of its events."""

    def __init__(self, snapshot: Snapshot, split: Split, polish: Polish) -> None:
        self._snapshot = snapshot
        self._split = split
        self._polish = polish
        self._is_given = False

    @property
    def step(self) -> int:
        return self._polish.step

    def events(self) -> Iterator[TrialEvent]:
        yield from self._polish.epochs()
        if not self._is_given:
            self._is_given = True
            snapshot = self._snapshot
            yield finish(self._polish.choice, self._split, snapshot, lam=snapshot.lam)

    def state_dict(self) -> dict[str, Any]:
        return {"is_given": self._is_given, "polish": self._polish.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._is_given = bool(state["is_given"])
        self._polish.load_state_dict(state["polish"])


def fit_together(snapshots: Sequence[Snapshot]) -> bool:
    """Tell whether networks, the largest first, can be polished at once and gain by it."""
    padded = len(snapshots) * snapshots[0].size.parameters
    return padded <= STACK_PARAMETERS and can_stack(snapshots[0].module)
