"""The λ path: one run in which the network shrinks from full to next to nothing."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from shrinknets_core.collection import collect
from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import EpochRecord, Phase, TrialEvent
from shrinknets_core.finishing import finish
from shrinknets_core.mlp import mlp_size
from shrinknets_core.polishing import polish
from shrinknets_core.rules import Proximal, starved
from shrinknets_core.shrinking import WARMUP_SHARE, collapse, collect_if_it_pays, warm_up
from shrinknets_core.training import Choice, Loop, TrainOptions


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """How to walk the path.

    Attributes:
        shrink_rate: share of the hidden units that an epoch removes.
        slow_units: below this many hidden units the rate falls in proportion to what is left.
        snapshot_ratio: a network is kept each time the parameters fell by this factor.
        polish_share: of the options' epochs, for each network that is kept.
        first_lam: where λ starts, in loss per unit of gate.
        max_rise: λ rises at most by the factor exp(max_rise) per epoch.
        max_epochs: shrinking ends here at the latest.
    """

    shrink_rate: float = 0.04
    slow_units: int = 40
    snapshot_ratio: float = 0.8
    polish_share: float = 0.5
    first_lam: float = 1e-3
    max_rise: float = 0.15
    max_epochs: int = 1000

    def __post_init__(self) -> None:
        for name in ("shrink_rate", "snapshot_ratio", "polish_share"):
            if not 0 < getattr(self, name) < 1:
                raise OptionError(name, expected="between 0 and 1", got=getattr(self, name))
        for name in ("first_lam", "max_rise"):
            if not getattr(self, name) > 0:
                raise OptionError(name, expected="positive", got=getattr(self, name))


class LambdaControl:
    """Steers λ so that the number of living units falls by a constant share per epoch.

    A schedule in λ itself avalanches: gates that fell side by side die side by side. So does a λ
    that rises faster than gates can fall, as its effect shows only when they arrive at zero.
    """

    def __init__(self, options: PathOptions, units: int) -> None:
        self.lam = options.first_lam
        self._options = options
        self._target = float(units)

    def aim(self, units: int) -> None:
        """Set the next epoch's target: a share below the last one, or below what is left."""
        rate = self._options.shrink_rate * min(1.0, units / self._options.slow_units)
        self._target = min(self._target, units) * math.exp(-rate)

    def correct(self, units: int) -> None:
        """Raise λ where more units are alive than aimed at, lower it where fewer are.

        It falls faster than it rises, at most by half per epoch: what has died is lost.
        """
        error = math.log(units / self._target)
        gain = 2.0 if error > 0 else 4.0
        rise = self._options.max_rise
        self.lam *= math.exp(max(-0.7, min(rise, gain * error)))


def follow_path(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    path: PathOptions | None = None,
) -> Iterator[TrialEvent]:
    """Shrink one network step by step; yields its epochs and a polished network at each size.

    The end is reached when a layer is left without a useful feature. That is a collapse only where
    no size before it could be kept.

    Args:
        split: the data.
        widths: units per hidden layer to start from.
        options: how to train; each network is polished for a share of its epochs.
        path: how to walk.

    Raises:
        DivergedError: the loss is not finite.
    """
    split = split.to(options.device)
    path = PathOptions() if path is None else path
    model = options.build(split, widths, filters=True)
    loop = Loop(model, split, options)
    yield from warm_up(loop, lr=options.lr, epochs=max(1, round(options.epochs * WARMUP_SHARE)))
    rule = Proximal(model.groups())
    control = LambdaControl(path, sum(widths))
    kept_size = mlp_size(split.inputs, widths, split.num_classes).parameters
    has_networks = False
    for _ in range(path.max_epochs):
        record = _shrink_epoch(loop, rule, control, lr=options.lr)
        yield record
        if names := starved(model.groups()):
            if not has_networks:
                yield collapse(record.step, names, record.lam)
            return
        collect_if_it_pays(loop)
        if record.parameters <= path.snapshot_ratio * kept_size:
            kept_size = record.parameters
            has_networks = True
            yield from _snapshot(loop, options, path, full_widths=widths, lam=record.lam)


def _shrink_epoch(loop: Loop, rule: Proximal, control: LambdaControl, *, lr: float) -> EpochRecord:
    control.aim(sum(loop.widths()))
    step = partial(rule.step, control.lam)
    record = loop.epoch(phase=Phase.SHRINK, lr=lr, lam=control.lam, after_step=step)
    control.correct(sum(record.widths))
    return record


def _snapshot(
    loop: Loop,
    options: TrainOptions,
    path: PathOptions,
    *,
    full_widths: Sequence[int],
    lam: float,
) -> Iterator[TrialEvent]:
    """Polish a copy of the network as it is; the loop goes on from where it was."""
    collect(loop.model, loop.model.groups(), [loop.optimizer])
    choice = Choice()
    epochs = max(1, round(options.epochs * path.polish_share))
    network = loop.model.folded()
    yield from polish(network, loop.split, options, choice, first_step=loop.step, epochs=epochs)
    loop.step += epochs
    yield finish(choice, loop.split, full_widths=full_widths, kept=loop.model.kept(), lam=lam)
