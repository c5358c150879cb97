"""The λ path: one run in which the network shrinks from full to next to nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.method import LambdaControl
from shrinknets_core.polish_queue import PolishQueue
from shrinknets_core.shrinking import collapse, shrink_options, warm_up, warmup_epochs
from shrinknets_core.snapshots import take_snapshot
from shrinknets_core.training import Loop, TrainOptions


@dataclass(frozen=True, kw_only=True)
class PathOptions:
    """How to walk the path.

    Attributes:
        shrink_rate: share of the living features that an epoch removes.
        slow_units: below this many features the rate falls in proportion to what is left.
        least_units: so many features go in an epoch, on average, however few are left.
        snapshot_ratio: a network is kept each time the parameters fell by this factor.
        polish_share: of the options' epochs, for each network that is kept.
        first_lam: where λ starts, in loss per unit of gate.
        max_rise: λ rises at most by the factor exp(max_rise) per epoch.
        max_epochs: shrinking ends here at the latest.
    """

    shrink_rate: float = 0.02
    slow_units: int = 40
    least_units: float = 0.2
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
        if not self.least_units >= 0:
            raise OptionError("least_units", expected="at least 0", got=self.least_units)


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
    warmup = max(1, warmup_epochs(split, options))
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
    control = LambdaControl(
        shrinker.method.count().num_features,
        first_lam=path.first_lam,
        rate=path.shrink_rate,
        slow_below=path.slow_units,
        least=path.least_units,
        max_rise=path.max_rise,
    )
    kept_size = loop.trainee.size(loop.trainee.widths()).parameters
    has_networks = False
    queue = PolishQueue(loop, options, epochs=max(1, round(options.epochs * path.polish_share)))
    for _ in range(path.max_epochs):
        record = _shrink_epoch(loop, control, lr=options.lr)
        yield record
        if names := shrinker.collapsed():
            if not has_networks:
                yield collapse(record.step, names, record.lam)
            break
        if record.parameters <= path.snapshot_ratio * kept_size:
            kept_size = record.parameters
            has_networks = True
            loop.collect()
            yield from queue.add(take_snapshot(loop.trainee, lam=record.lam))
    yield from queue.flush()


def _shrink_epoch(loop: Loop, control: LambdaControl, *, lr: float) -> EpochRecord:
    shrinker = loop.trainee.shrinker
    assert shrinker is not None
    control.aim(shrinker.method.count().num_features)
    shrinker.lam = control.lam
    record = loop.epoch(phase=Phase.SHRINK, lr=lr)
    control.correct(shrinker.method.count().num_features)
    return record
