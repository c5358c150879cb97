"""Which of a path's networks are polished together, and when."""

from collections.abc import Iterator, Sequence

from shrinknets_core.events import TrialEvent
from shrinknets_core.finishing import finish
from shrinknets_core.polishing import polish
from shrinknets_core.polishing_together import polish_together
from shrinknets_core.snapshots import Snapshot
from shrinknets_core.stacking import can_stack
from shrinknets_core.training import Choice, Loop, TrainOptions

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

    def add(self, snapshot: Snapshot) -> Iterator[TrialEvent]:
        """Take a snapshot, and polish what waits where no further one would fit."""
        if self.waiting and not fit_together([*self.waiting, snapshot]):
            yield from self.flush()
        self.waiting.append(snapshot)
        if not fit_together([*self.waiting, snapshot]):
            yield from self.flush()

    def flush(self) -> Iterator[TrialEvent]:
        """Polish all that wait."""
        snapshots, self.waiting = self.waiting, []
        first_step = self._loop.step
        self._loop.step += self._epochs * len(snapshots)
        split, options, epochs = self._loop.split, self._options, self._epochs
        if len(snapshots) > 1:
            yield from polish_together(
                snapshots, split, options, first_step=first_step, epochs=epochs
            )
        for snapshot in snapshots if len(snapshots) == 1 else []:
            choice = Choice()
            yield from polish(
                snapshot, split, options, choice, first_step=first_step, epochs=epochs
            )
            yield finish(choice, split, snapshot, lam=snapshot.lam)


def fit_together(snapshots: Sequence[Snapshot]) -> bool:
    """Tell whether networks, the largest first, can be polished at once and gain by it."""
    padded = len(snapshots) * snapshots[0].size.parameters
    return padded <= STACK_PARAMETERS and can_stack(snapshots[0].module)
