"""One network that shrinks at one λ while it trains: the trial of the search over λ."""

from collections.abc import Iterator, Sequence

import torch

from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.method import Rule, ShrinkOptions
from shrinknets_core.polishing import polish
from shrinknets_core.training import Choice, Loop, TrainOptions

WARMUP_SHARE = 0.1
"""Of the epochs, with λ at 0; as many again ramp it up."""
WARMUP_TRAVEL = 0.012
"""The warm-up is longer where Adam could not have moved each weight so far by then: gates that are
judged before the weights have learnt anything die by their initial draw."""
LONGEST_WARMUP = 0.25
"""Of the epochs, at most."""


def train_shrinking(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    lam: float,
    rule: str = Rule.PROXIMAL,
    family: Family | None = None,
) -> Iterator[TrialEvent]:
    """Train a network that shrinks at penalty lam; yields epochs, then a network or a collapse.

    With the proximal rule λ is 0 for a warm-up, ramps, holds, and the last epochs polish what is
    left. With the subgradient rule (the paper's) λ acts from the first to the last epoch.

    Args:
        split: the data.
        widths: features of each of the family's layers to start from.
        options: how to train.
        lam: λ, in loss per unit of gate.
        rule: how gates are updated, `proximal` or `subgradient`.
        family: of the network; multi-layer perceptrons by default.

    Raises:
        OptionError: λ is not positive, the rule is unknown, or the family has no such network.
        DivergedError: the loss is not finite.
    """
    if not lam > 0:
        raise OptionError("lam", expected="positive", got=lam)
    split = split.to(options.device)
    warmup, ramp = warmup_epochs(split, options), round(options.epochs * WARMUP_SHARE)
    shrink = shrink_options(split, options, rule=rule, warmup=warmup, ramp=ramp)
    family = mlp_family() if family is None else family
    loop = Loop(options.build(split, widths, family=family, shrink=shrink), split, options)
    method = _proximal if shrink.rule is Rule.PROXIMAL else _subgradient
    return method(loop, options, lam)


def shrink_options(
    split: Split, options: TrainOptions, *, rule: str = Rule.PROXIMAL, warmup: int, ramp: int = 0
) -> ShrinkOptions:
    """Return how to shrink in a training; warmup and ramp are epochs.

    Raises:
        OptionError: the rule is unknown.
    """
    if rule not in set(Rule):
        raise OptionError("rule", expected=f"one of {', '.join(Rule)}", got=rule)
    steps = options.steps_per_epoch(split)
    ours = rule == Rule.PROXIMAL
    return ShrinkOptions(
        rule=Rule(rule),
        steps_per_epoch=steps,
        warmup_steps=warmup * steps if ours else 0,
        ramp_steps=ramp * steps if ours else 0,
        check_steps=steps,
    )


def warmup_epochs(split: Split, options: TrainOptions) -> int:
    """Return for how many epochs the gates are held, a tenth of all unless weights are slow."""
    travel = options.lr * options.steps_per_epoch(split)
    longest = int(options.epochs * LONGEST_WARMUP)
    needed = min(longest, round(WARMUP_TRAVEL / travel))
    return max(round(options.epochs * WARMUP_SHARE), needed)


def warm_up(loop: Loop, *, lr: float, epochs: int) -> Iterator[TrialEvent]:
    """Train with all gates held where they are."""
    for _ in range(epochs):
        yield loop.epoch(phase=Phase.WARMUP, lr=lr)


def collapse(step: int, names: Sequence[str], lam: float) -> Collapse:
    """Say in words which layers lost their last feature."""
    layers = ", ".join(names)
    return Collapse(
        step=step,
        reason=f"collapsed in epoch {step}: no feature of {layers} survived λ = {lam:.3g}",
    )


def _proximal(loop: Loop, options: TrainOptions, lam: float) -> Iterator[TrialEvent]:
    trainee, shrinker = loop.trainee, loop.trainee.shrinker
    assert shrinker is not None
    shrinker.lam = lam
    warmup = warmup_epochs(loop.split, options)
    yield from warm_up(loop, lr=options.lr, epochs=warmup)
    for _ in range(options.epochs - options.polish_epochs - warmup):
        record = loop.epoch(phase=Phase.SHRINK, lr=options.lr)
        yield record
        if names := shrinker.collapsed():
            yield collapse(record.step, names, lam)
            return
    loop.collect()
    choice = Choice()
    yield from polish(
        trainee, loop.split, options, choice, first_step=loop.step, epochs=options.polish_epochs
    )
    yield finish(choice, loop.split, trainee, lam=lam)


def _subgradient(loop: Loop, options: TrainOptions, lam: float) -> Iterator[TrialEvent]:
    trainee, shrinker = loop.trainee, loop.trainee.shrinker
    assert shrinker is not None
    shrinker.draw_gates(torch.Generator().manual_seed(options.seed))
    shrinker.lam = lam
    choice = Choice()
    for _ in range(options.epochs):
        record = loop.epoch(phase=Phase.SHRINK, lr=options.lr)
        yield record
        if names := shrinker.collapsed():
            yield collapse(record.step, names, lam)
            return
        loop.collect()
        choice.offer(record, trainee)
    yield finish(choice, loop.split, trainee, lam=lam)
