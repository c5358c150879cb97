"""One network that shrinks at one λ while it trains: the trial of the search over λ."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from shrinknets_core.batches import place
from shrinknets_core.choice import Choice
from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.limits import Limits, Tightening
from shrinknets_core.method import Rule, ShrinkOptions
from shrinknets_core.polishing import Polish
from shrinknets_core.runs import Run, describe
from shrinknets_core.states import copied
from shrinknets_core.training import Loop, TrainOptions

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
    limits: Limits | None = None,
) -> Run:
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
        limits: where the network is still over one at the end, it goes on shrinking at a rising λ,
            for as many epochs again at most.

    Raises:
        OptionError: λ is not positive, the rule is unknown, or the family has no such network.
        DivergedError: the loss is not finite (raised by the run).
    """
    if not lam > 0:
        raise OptionError("lam", expected="positive", got=lam)
    split = place(split, options.device)
    warmup, ramp = warmup_epochs(split, options), round(options.epochs * WARMUP_SHARE)
    shrink = shrink_options(split, options, rule=rule, warmup=warmup, ramp=ramp)
    family = mlp_family() if family is None else family
    loop = Loop(options.build(split, widths, family=family, shrink=shrink), split, options)
    kind = _Proximal if shrink.rule is Rule.PROXIMAL else _Subgradient
    more = {} if limits is None else {"limits": asdict(limits)}
    description = describe(
        "shrinknets", split, widths, options, family, lam=lam, rule=str(rule), **more
    )
    return kind(loop, options, description, lam=lam, limits=limits)


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
    """Train with all gates held where they are, until so many epochs are over."""
    while loop.step < epochs:
        yield loop.epoch(phase=Phase.WARMUP, lr=lr)


def collapse(step: int, names: Sequence[str], lam: float) -> Collapse:
    """Say in words which layers lost their last feature."""
    layers = ", ".join(names)
    return Collapse(
        step=step,
        reason=f"collapsed in epoch {step}: no feature of {layers} survived λ = {lam:.3g}",
    )


class _Shrinking(Run):
    """One network at one λ."""

    def __init__(
        self,
        loop: Loop,
        options: TrainOptions,
        description: Mapping[str, Any],
        *,
        lam: float,
        limits: Limits | None,
    ) -> None:
        super().__init__(description)
        assert loop.trainee.shrinker is not None
        self._loop = loop
        self._options = options
        self._shrinker = loop.trainee.shrinker
        self._lam = lam
        self._tightening = Tightening(loop, options, limits, lam)
        self._lost: list[str] = []
        self._set_up()

    @abstractmethod
    def _set_up(self) -> None:
        """Make ready for the first epoch."""

    @property
    def step(self) -> int:
        return self._loop.step

    def _shrink(self, num_epochs: int) -> Iterator[EpochRecord]:
        """Shrink up to an epoch, then on to the limits; ends where the network collapsed."""
        loop = self._loop
        while not self._lost and loop.step < num_epochs:
            yield self._shrunk(loop.epoch(phase=Phase.SHRINK, lr=self._options.lr))
        while not self._lost and self._tightening.is_due:
            yield self._shrunk(self._tightening.epoch())

    def _shrunk(self, record: EpochRecord) -> EpochRecord:
        self._lost = self._shrinker.collapsed()
        return record

    def _collapse(self) -> Collapse:
        self._ended = True
        return collapse(self._loop.step, self._lost, self._shrinker.lam)

    def _state(self) -> dict[str, Any]:
        return {
            "loop": copied(self._loop.state_dict()),
            "lost": list(self._lost),
            "tightening": self._tightening.state_dict(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._loop.load_state_dict(state["loop"])
        self._lost = list(state["lost"])
        self._tightening.load_state_dict(state["tightening"])


class _Proximal(_Shrinking):
    """Warm-up, shrinking, then a polish of what is left."""

    def _set_up(self) -> None:
        self._shrinker.lam = self._lam
        self._polish: Polish | None = None

    @property
    def step(self) -> int:
        return self._loop.step if self._polish is None else self._polish.step

    def _go_on(self) -> Iterator[TrialEvent]:
        loop, options = self._loop, self._options
        yield from warm_up(loop, lr=options.lr, epochs=warmup_epochs(loop.split, options))
        yield from self._shrink(options.epochs - options.polish_epochs)
        if self._lost:
            yield self._collapse()
            return
        if self._polish is None:
            loop.collect()
            self._polish = self._begin_polish()
        yield from self._polish.epochs()
        self._ended = True
        yield finish(self._polish.choice, loop.split, loop.trainee, lam=self._lam)

    def _begin_polish(self) -> Polish:
        loop, options = self._loop, self._options
        return Polish(
            loop.trainee,
            loop.split,
            options,
            first_step=loop.step,
            epochs=options.polish_epochs,
        )

    def _state(self) -> dict[str, Any]:
        polish = None if self._polish is None else self._polish.state_dict()
        return {**super()._state(), "polish": polish}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        if state["polish"] is not None:
            self._polish = self._begin_polish()
            self._polish.load_state_dict(state["polish"])


class _Subgradient(_Shrinking):
    """The paper's: λ acts from the first to the last epoch."""

    def _set_up(self) -> None:
        self._shrinker.draw_gates(torch.Generator().manual_seed(self._options.seed))
        self._shrinker.lam = self._lam
        self._choice = Choice()

    def _go_on(self) -> Iterator[TrialEvent]:
        yield from self._shrink(self._options.epochs)
        if self._lost:
            yield self._collapse()
            return
        self._ended = True
        yield finish(self._choice, self._loop.split, self._loop.trainee, lam=self._lam)

    def _shrunk(self, record: EpochRecord) -> EpochRecord:
        super()._shrunk(record)
        if not self._lost:
            self._loop.collect()
            self._choice.offer(record, self._loop.trainee)
        return record

    def _state(self) -> dict[str, Any]:
        return {**super()._state(), "choice": self._choice.state_dict()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        super()._restore(state)
        self._choice.load_state_dict(state["choice"], self._loop.trainee.rebuild)
