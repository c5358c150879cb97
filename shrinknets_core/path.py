"""The λ path: one run in which the network shrinks from full to next to nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from shrinknets_core.batches import place
from shrinknets_core.data import Split
from shrinknets_core.errors import OptionError
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrialEvent
from shrinknets_core.families import Family, mlp_family
from shrinknets_core.method import LambdaControl
from shrinknets_core.polish_queue import PolishQueue
from shrinknets_core.runs import Run, describe
from shrinknets_core.shrinking import collapse, shrink_options, warm_up, warmup_epochs
from shrinknets_core.snapshots import take_snapshot
from shrinknets_core.states import copied
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
) -> Run:
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
        DivergedError: the loss is not finite (raised by the run).
    """
    split = place(split, options.device)
    path = PathOptions() if path is None else path
    family = mlp_family() if family is None else family
    warmup = max(1, warmup_epochs(split, options))
    shrink = shrink_options(split, options, warmup=warmup)
    trainee = options.build(split, widths, family=family, shrink=shrink)
    description = describe("path", split, widths, options, family, path=asdict(path))
    return _Path(Loop(trainee, split, options), options, path, description)


class _Path(Run):
    def __init__(
        self,
        loop: Loop,
        options: TrainOptions,
        path: PathOptions,
        description: Mapping[str, Any],
    ) -> None:
        super().__init__(description)
        assert loop.trainee.shrinker is not None
        self._loop = loop
        self._options = options
        self._path = path
        self._shrinker = loop.trainee.shrinker
        epochs = max(1, round(options.epochs * path.polish_share))
        # Each network has a shape of its own, and compiling it would take longer than its polish.
        self._queue = PolishQueue(loop, replace(options, compile=False), epochs=epochs)
        self._control: LambdaControl | None = None
        self._kept_size = loop.trainee.size(loop.trainee.full_widths).parameters
        self._has_networks = False
        self._is_due = False
        """Whether the size is one at which a network is kept."""
        self._epochs = 0
        """Of shrinking."""
        self._lam = 0.0
        self._lost: list[str] = []

    @property
    def step(self) -> int:
        return self._queue.step

    def _go_on(self) -> Iterator[TrialEvent]:
        loop, options, queue = self._loop, self._options, self._queue
        warmup = max(1, warmup_epochs(loop.split, options))
        yield from warm_up(loop, lr=options.lr, epochs=warmup)
        if not self._shrinker.groups:
            self._ended = True
            yield Collapse(step=loop.step, reason="there is nothing that could be removed")
            return
        while True:
            if self._is_due:
                self._keep()
            yield from queue.go_on()
            if self._lost or self._epochs >= self._path.max_epochs:
                break
            yield self._shrink()
        queue.close()
        yield from queue.go_on()
        if self._lost and not self._has_networks:
            self._ended = True
            yield collapse(loop.step, self._lost, self._lam)

    def _shrink(self) -> EpochRecord:
        loop, method = self._loop, self._shrinker.method
        if self._control is None:
            self._control = self._make_control(method.count().num_features)
        self._control.aim(method.count().num_features)
        self._shrinker.lam = self._control.lam
        record = loop.epoch(phase=Phase.SHRINK, lr=self._options.lr)
        self._control.correct(method.count().num_features)
        self._epochs += 1
        self._lam = record.lam
        self._lost = self._shrinker.collapsed()
        if not self._lost and record.parameters <= self._path.snapshot_ratio * self._kept_size:
            self._kept_size = record.parameters
            self._is_due = True
        return record

    def _keep(self) -> None:
        """Let a copy of the network wait for its polish; the loop goes on from where it was."""
        self._loop.collect()
        self._queue.put(take_snapshot(self._loop.trainee, lam=self._lam))
        self._has_networks, self._is_due = True, False

    def _make_control(self, num_features: int) -> LambdaControl:
        path = self._path
        return LambdaControl(
            num_features,
            first_lam=path.first_lam,
            rate=path.shrink_rate,
            slow_below=path.slow_units,
            least=path.least_units,
            max_rise=path.max_rise,
        )

    def _state(self) -> dict[str, Any]:
        return {
            "loop": copied(self._loop.state_dict()),
            "queue": self._queue.state_dict(),
            "control": None if self._control is None else self._control.state_dict(),
            "kept_size": self._kept_size,
            "has_networks": self._has_networks,
            "is_due": self._is_due,
            "epochs": self._epochs,
            "lam": self._lam,
            "lost": list(self._lost),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._loop.load_state_dict(state["loop"])
        self._queue.load_state_dict(state["queue"])
        if state["control"] is not None:
            self._control = self._make_control(1)
            self._control.load_state_dict(state["control"])
        self._kept_size = int(state["kept_size"])
        self._has_networks, self._is_due = bool(state["has_networks"]), bool(state["is_due"])
        self._epochs, self._lam = int(state["epochs"]), float(state["lam"])
        self._lost = list(state["lost"])
