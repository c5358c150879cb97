"""The λ path: one run in which the network shrinks from full to next to nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.finishing import finish
from shrinknets_core.method import LambdaControl
from shrinknets_core.polishing import polish
from shrinknets_core.shrinking import WARMUP_SHARE, collapse, shrink_options, warm_up
from shrinknets_core.training import Choice, Loop, TrainOptions


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """How to walk the path.

    Attributes:
        shrink_rate: share of the living features that an epoch removes.
        slow_units: below this many features the rate falls in proportion to what is left.
        snapshot_ratio: a network is kept each time the parameters fell by this factor.
        polish_share: of the options' epochs, for each network that is kept.
        first_lam: where λ starts, in loss per unit of gate.
        max_rise: λ rises at most by the factor exp(max_rise) per epoch.
        max_epochs: shrinking ends here at the latest.
    """

    shrink_rate: float = 0.02
    slow_units: int = 40
    snapshot_ratio: float = 0.8
    polish_share: float = 0.25
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


def follow_path(
    split: Split,
    *,
    widths: Sequence[int],
    options: TrainOptions,
    path: PathOptions | None = None,
    family: Family | None = None,
) -> Iterator[TrialEvent]:
    """Shrink one network step by step; yields its epochs and a polished network at each size.

    The end is reached when a layer is left without a useful feature. That is a collapse only where
    no size before it could be kept.

    Args:
        split: the data.
        widths: features of each of the family's layers to start from.
        options: how to train; each network is polished for a share of its epochs.
        path: how to walk.
        family: of the network; multi-layer perceptrons by default.

    Raises:
        OptionError: the family has no such network for these data.
        DivergedError: the loss is not finite.
    """
    split = split.to(options.device)
    path = PathOptions() if path is None else path
    family = mlp_family() if family is None else family
    warmup = max(1, round(options.epochs * WARMUP_SHARE))
    shrink = shrink_options(split, options, warmup=warmup)
    trainee = options.build(split, widths, family=family, shrink=shrink)
    loop = Loop(trainee, split, options)
    yield from warm_up(loop, lr=options.lr, epochs=warmup)
    yield from _walk(loop, options, path)


def _walk(loop: Loop, options: TrainOptions, path: PathOptions) -> Iterator[TrialEvent]:
    shrinker = loop.trainee.shrinker
    assert shrinker is not None
    if not shrinker.groups:
        yield Collapse(step=loop.step, reason="there is nothing that could be removed")
        return
    size = loop.trainee.size(loop.trainee.widths())
    kept_size, has_networks = size.parameters, False
    control = LambdaControl(
        shrinker.method.count().num_features,
        first_lam=path.first_lam,
        rate=path.shrink_rate,
        slow_below=path.slow_units,
        max_rise=path.max_rise,
    )
    for _ in range(path.max_epochs):
        record = _shrink_epoch(loop, control, lr=options.lr)
        yield record
        if names := shrinker.collapsed():
            if not has_networks:
                yield collapse(record.step, names, record.lam)
            return
        if record.parameters <= path.snapshot_ratio * kept_size:
            kept_size = record.parameters
            has_networks = True
            yield from _snapshot(loop, options, path, lam=record.lam)


def _shrink_epoch(loop: Loop, control: LambdaControl, *, lr: float) -> EpochRecord:
    shrinker = loop.trainee.shrinker
    assert shrinker is not None
    control.aim(shrinker.method.count().num_features)
    shrinker.lam = control.lam
    record = loop.epoch(phase=Phase.SHRINK, lr=lr)
    control.correct(shrinker.method.count().num_features)
    return record


def _snapshot(
    loop: Loop, options: TrainOptions, path: PathOptions, *, lam: float
) -> Iterator[TrialEvent]:
    """Polish a copy of the network as it is; the loop goes on from where it was."""
    loop.collect()
    choice = Choice()
    # Each network has a shape of its own, and compiling it would take longer than its polish.
    options = replace(options, compile=False)
    epochs = max(1, round(options.epochs * path.polish_share))
    yield from polish(
        loop.trainee, loop.split, options, choice, first_step=loop.step, epochs=epochs
    )
    loop.step += epochs
    yield finish(choice, loop.split, loop.trainee, lam=lam)
