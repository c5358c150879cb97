"""The baselines: networks whose size stays as it is, with or without an L2 penalty."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shrinknets_core.batches import place
from shrinknets_core.data import Split
from shrinknets_core.events import Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.loop_runs import LoopRun
from shrinknets_core.polishing import anneal
from shrinknets_core.runs import Run, describe
from shrinknets_core.training import Loop, TrainOptions


def train_fixed(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    l2: float = 0.0,
    family: Family | None = None,
) -> Run:
    """Train a network of these widths; yields its epochs, then the network of the best one.

    Args:
        split: the data.
        widths: features of each of the family's layers.
        options: how to train.
        l2: coefficient of half the squared norm of the weights, 0 for none.
        family: of the network; multi-layer perceptrons by default.

    Raises:
        OptionError: the family has no such network for these data.
        DivergedError: the loss is not finite (raised by the run).
    """
    split = place(split, options.device)
    family = mlp_family() if family is None else family
    loop = Loop(options.build(split, widths, family=family), split, options, l2=l2)
    return _Fixed(loop, options, describe("fixed", split, widths, options, family, l2=l2))


class _Fixed(LoopRun):
    def __init__(self, loop: Loop, options: TrainOptions, description: Mapping[str, Any]) -> None:
        super().__init__(loop, description)
        self._options = options

    def _go_on(self) -> Iterator[TrialEvent]:
        loop, options, choice = self._loop, self._options, self._choice
        before = options.epochs - options.polish_epochs
        while loop.step < before:
            record = loop.epoch(phase=Phase.TRAIN, lr=options.lr)
            choice.offer(record, loop.trainee)
            yield record
        yield from anneal(
            loop,
            choice,
            lr=options.lr,
            epochs=options.polish_epochs,
            phase=Phase.TRAIN,
            first_step=before,
        )
        self._ended = True
        yield finish(choice, loop.split, loop.trainee)
