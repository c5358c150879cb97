"""Hard limits on a network's size: a network that is over them goes on shrinking."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shrinknets_core.errors import OptionError
from shrinknets_core.events import EpochRecord, Phase
from shrinknets_core.method.control import LambdaControl
from shrinknets_core.method.latency import forward_seconds
from shrinknets_core.training import Loop, TrainOptions

RATE = 0.1
"""Share of the size that is to go in an epoch."""
MAX_RISE = 0.4
"""λ rises at most by the factor exp(MAX_RISE) in an epoch."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a network may have at most; None where there is no limit.

    Attributes:
        parameters: weights and biases.
        macs: multiply-accumulate operations for one example.
        milliseconds: of a forward pass of one example, in evaluation, on its device.
    """

    parameters: float | None = None
    macs: float | None = None
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("parameters", "macs", "milliseconds"):
            if (given := getattr(self, name)) is not None and not given > 0:
                raise OptionError(name, expected="positive", got=given)

    def excess(self, loop: Loop) -> float:
        """Return the largest of the sizes in shares of their limits; above 1 one is missed.

        Where there is a limit on time the dead features are collected first.
        """
        trainee = loop.trainee
        size = trainee.size(trainee.widths())
        pairs = [(float(size.parameters), self.parameters), (float(size.macs), self.macs)]
        if self.milliseconds is not None:
            loop.collect()
            plain = trainee.plain()
            # The rows of a large data set may lie on another device than the network.
            one = loop.split.train.x[:1].to(next(plain.parameters()).device)
            pairs.append((1e3 * forward_seconds(plain, one), self.milliseconds))
        return max((size / limit for size, limit in pairs if limit is not None), default=0.0)


class Tightening:
    """Shrinks on at a rising λ while the network is over a limit, for as many epochs again at most.

    Whoever asks for its epochs looks whether the network collapsed.
    """

    def __init__(
        self, loop: Loop, options: TrainOptions, limits: Limits | None, lam: float
    ) -> None:
        self._loop = loop
        self._options = options
        self._limits = limits
        self._lam = lam
        self._excess: float | None = None
        """None until it was looked at for the first time."""
        self._control: LambdaControl | None = None
        self._epochs = 0

    @property
    def is_due(self) -> bool:
        """Whether there is another epoch; asked when the ordinary ones are over."""
        if self._limits is None:
            return False
        if self._excess is None:
            self._excess = self._limits.excess(self._loop)
        return self._excess > 1 and self._epochs < self._options.epochs

    def epoch(self) -> EpochRecord:
        """Shrink for one epoch more."""
        shrinker = self._loop.trainee.shrinker
        assert shrinker is not None
        assert self._limits is not None
        assert self._excess is not None
        if self._control is None:
            self._control = self._make_control(self._excess)
        self._control.aim(self._excess)
        shrinker.lam = self._control.lam
        record = self._loop.epoch(phase=Phase.SHRINK, lr=self._options.lr)
        self._epochs += 1
        self._excess = self._limits.excess(self._loop)
        if self._excess > 1:
            self._control.correct(self._excess)
        return record

    def state_dict(self) -> dict[str, Any]:
        """Return where it stands."""
        control = None if self._control is None else self._control.state_dict()
        return {"excess": self._excess, "epochs": self._epochs, "control": control}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, in place."""
        self._excess, self._epochs = state["excess"], int(state["epochs"])
        if state["control"] is not None:
            self._control = self._make_control(1.0)
            self._control.load_state_dict(state["control"])

    def _make_control(self, excess: float) -> LambdaControl:
        # The last step is to end just below the limit, not far below.
        return LambdaControl(excess, first_lam=self._lam, rate=RATE, max_rise=MAX_RISE, end=0.98)
