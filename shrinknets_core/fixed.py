"""The baselines: networks whose size stays as it is, with or without an L2 penalty."""

from collections.abc import Iterator, Sequence

from shrinknets_core.batches import place
from shrinknets_core.data import Split
from shrinknets_core.events import Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.polishing import anneal
from shrinknets_core.training import Choice, Loop, TrainOptions


def train_fixed(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    l2: float = 0.0,
    family: Family | None = None,
) -> Iterator[TrialEvent]:
    """Train a network of these widths; yields its epochs, then the network of the best one.

    Args:
        split: the data.
        widths: features of each of the family's layers.
        options: how to train.
        l2: coefficient of half the squared norm of the weights, 0 for none.
        family: of the network; multi-layer perceptrons by default.

    Raises:
        OptionError: the family has no such network for these data.
        DivergedError: the loss is not finite.
    """
    split = place(split, options.device)
    family = mlp_family() if family is None else family
    trainee = options.build(split, widths, family=family)
    loop = Loop(trainee, split, options, l2=l2)
    choice = Choice()
    for _ in range(options.epochs - options.polish_epochs):
        record = loop.epoch(phase=Phase.TRAIN, lr=options.lr)
        choice.offer(record, trainee)
        yield record
    yield from anneal(loop, choice, lr=options.lr, epochs=options.polish_epochs, phase=Phase.TRAIN)
    yield finish(choice, split, trainee)
