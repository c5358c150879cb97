"""One network that shrinks at one λ while it trains: the trial of the search over λ."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from shrinknets_core.collection import collect
from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, Phase, TrialEvent
from shrinknets_core.finishing import finish
from shrinknets_core.groups import num_alive
from shrinknets_core.mlp import MLP
from shrinknets_core.polishing import polish
from shrinknets_core.rules import Proximal, Rule, Subgradient, starved
from shrinknets_core.training import Choice, Loop, TrainOptions

COLLECT_SHARE = 0.05
"""Collect once this share of the features is dead: less is not worth the copies."""
WARMUP_SHARE = 0.1
"""Of the epochs, with λ at 0; as many again ramp it up."""


def train_shrinking(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    lam: float,
    rule: str = Rule.PROXIMAL,
) -> Iterator[TrialEvent]:
    """Train a network that shrinks at penalty lam; yields epochs, then a network or a collapse.

    With the proximal rule λ is 0 for a warm-up, ramps, holds, and the last epochs polish what is
    left. With the subgradient rule (the paper's) λ acts from the first to the last epoch.

    Args:
        split: the data.
        widths: units per hidden layer to start from.
        options: how to train.
        lam: λ, in loss per unit of gate.
        rule: how gates are updated, `proximal` or `subgradient`.

    Raises:
        OptionError: λ is not positive, or the rule is unknown.
        DivergedError: the loss is not finite.
    """
    if not lam > 0:
        raise OptionError("lam", expected="positive", got=lam)
    if rule not in set(Rule):
        raise OptionError("rule", expected=f"one of {', '.join(Rule)}", got=rule)
    split = split.to(options.device)
    model = options.build(split, widths, filters=True)
    shrink = _proximal if rule == Rule.PROXIMAL else _subgradient
    return shrink(model, split, options, lam)


def warm_up(loop: Loop, *, lr: float, epochs: int) -> Iterator[TrialEvent]:
    """Train with all gates held where they are."""
    loop.model.hold_gates(hold=True)
    for _ in range(epochs):
        yield loop.epoch(phase=Phase.WARMUP, lr=lr)
    loop.model.hold_gates(hold=False)


def collect_if_it_pays(loop: Loop) -> None:
    """Remove the dead features of the loop's model if they are worth the copies."""
    groups = loop.model.groups()
    there = sum(group.filter.num_features for group in groups)
    if there - sum(num_alive(groups)) >= COLLECT_SHARE * there:
        collect(loop.model, groups, [loop.optimizer])


def collapse(step: int, names: Sequence[str], lam: float) -> Collapse:
    """Say in words which layers lost their last feature."""
    layers = ", ".join(names)
    return Collapse(
        step=step,
        reason=f"collapsed in epoch {step}: no feature of {layers} survived λ = {lam:.3g}",
    )


def _proximal(model: MLP, split: Split, options: TrainOptions, lam: float) -> Iterator[TrialEvent]:
    full_widths = model.widths()
    loop = Loop(model, split, options)
    warmup = round(options.epochs * WARMUP_SHARE)
    yield from warm_up(loop, lr=options.lr, epochs=warmup)
    rule = Proximal(model.groups())
    for epoch in range(options.epochs - options.polish_epochs - warmup):
        now = lam * min(1.0, (epoch + 1) / (warmup + 1))
        step = partial(rule.step, now)
        record = loop.epoch(phase=Phase.SHRINK, lr=options.lr, lam=now, after_step=step)
        yield record
        if names := starved(model.groups()):
            yield collapse(record.step, names, lam)
            return
        collect_if_it_pays(loop)
    collect(model, model.groups(), [loop.optimizer])
    choice = Choice()
    yield from polish(
        model.folded(), split, options, choice, first_step=loop.step, epochs=options.polish_epochs
    )
    yield finish(choice, split, full_widths=full_widths, kept=model.kept(), lam=lam)


def _subgradient(
    model: MLP, split: Split, options: TrainOptions, lam: float
) -> Iterator[TrialEvent]:
    full_widths = model.widths()
    draw = torch.Generator().manual_seed(options.seed)
    rule = Subgradient(model.groups(), generator=draw)
    loop = Loop(model, split, options, parameters=[*model.weights(), *model.gates()])
    choice = Choice()
    for _ in range(options.epochs):
        record = loop.epoch(
            phase=Phase.SHRINK,
            lr=options.lr,
            lam=lam,
            penalty=partial(rule.penalty, lam),
            after_step=rule.step,
        )
        yield record
        if names := starved(model.groups()):
            yield collapse(record.step, names, lam)
            return
        collect(model, model.groups(), [loop.optimizer])
        choice.offer(record, model)
    yield finish(choice, split, full_widths=full_widths, kept=model.kept(), lam=lam)
