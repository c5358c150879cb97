"""Hard limits on a network's size: a network that is over them goes on shrinking."""

from collections.abc import Iterator
from dataclasses import dataclass

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
            one = loop.split.train.x[:1]
            pairs.append((1e3 * forward_seconds(trainee.plain(), one), self.milliseconds))
        return max((size / limit for size, limit in pairs if limit is not None), default=0.0)


def shrink_until_within(
    loop: Loop, options: TrainOptions, limits: Limits | None, *, lam: float
) -> Iterator[EpochRecord]:
    """Go on with a rising λ while the network is over a limit, for as many epochs again at most.

    Whoever consumes it looks whether the network collapsed.
    """
    shrinker = loop.trainee.shrinker
    if limits is None or shrinker is None or (excess := limits.excess(loop)) <= 1:
        return
    # The last step is to end just below the limit, not far below.
    control = LambdaControl(excess, first_lam=lam, rate=RATE, max_rise=MAX_RISE, end=0.98)
    for _ in range(options.epochs):
        control.aim(excess)
        shrinker.lam = control.lam
        yield loop.epoch(phase=Phase.SHRINK, lr=options.lr)
        excess = limits.excess(loop)
        if excess <= 1:
            return
        control.correct(excess)
