"""How a network shrinks: every choice of the method, checked when it is made."""

from dataclasses import dataclass
from enum import StrEnum

from shrinknets_core.errors import OptionError

BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class Rule(StrEnum):
    """How gates are updated."""

    PROXIMAL = "proximal"
    SUBGRADIENT = "subgradient"


class Price(StrEnum):
    """What a feature's price goes by."""

    UNIT = "unit"
    PARAMETERS = "parameters"
    MACS = "macs"
    LATENCY = "latency"


class Removal(StrEnum):
    """When a gate that stands at 0 is given up for good."""

    AT_ONCE = "at_once"
    EPOCH_ENDS = "epoch_ends"
    RANDOM = "random"


@dataclass(frozen=True, kw_only=True)
class ShrinkOptions:
    """How a network shrinks.

    Attributes:
        rule: how gates are updated.
        step_size: η of the proximal rule, in gate per unit of gradient, in a whole epoch: each step
            takes its share. Pull and noise of an epoch are then the same for all batch sizes.
        steps_per_epoch: optimiser steps that make an epoch.
        warmup_steps: λ is 0 for so long and the gates are not computed.
        ramp_steps: then λ rises linearly to its full value for so long.
        scale_free: charge a gate in proportion to the size of the weights around it, so that it
            can't get cheaper by shrinking while they grow.
        price: what features of different groups are charged by.
        exponent: of that cost; 0 charges all alike, 1 in proportion.
        probation_steps: a gate that reaches 0 is watched for so long, and gets back if its mean
            gradient says that it would pay; 0 for none.
        removal: when a gate at 0 is given up.
        removal_probability: per step, for random removal.
        min_features: no group falls below it.
        round_to: the features that stay are rounded up to a multiple of it by keeping dead ones.
        collect_share: collect when this share of the parameters can be reclaimed.
        check_steps: steps between two looks at that share; each look waits for the device.
        refresh_steps: steps between two looks at the weights' norms.
    """

    rule: Rule = Rule.PROXIMAL
    step_size: float = 100.0
    steps_per_epoch: int = 100
    warmup_steps: int = 0
    ramp_steps: int = 0
    scale_free: bool = True
    price: Price = Price.PARAMETERS
    exponent: float = 0.5
    probation_steps: int = 0
    removal: Removal = Removal.AT_ONCE
    removal_probability: float = 0.1
    min_features: int = 1
    round_to: int = 1
    collect_share: float = 0.05
    check_steps: int = 64
    refresh_steps: int = 32

    def __post_init__(self) -> None:
        for name, kind in (("rule", Rule), ("price", Price), ("removal", Removal)):
            object.__setattr__(self, name, _member(name, kind, getattr(self, name)))
        for name in ("warmup_steps", "ramp_steps", "probation_steps"):
            _whole(name, getattr(self, name), least=0)
        for name in ("steps_per_epoch", "min_features", "check_steps", "refresh_steps"):
            _whole(name, getattr(self, name), least=1)
        if not self.step_size > 0:
            raise OptionError("step_size", expected="positive", got=self.step_size)
        if not self.exponent >= 0:
            raise OptionError("exponent", expected="at least 0", got=self.exponent)
        for name in ("removal_probability", "collect_share"):
            if not 0 < getattr(self, name) <= 1:
                raise OptionError(name, expected="above 0, at most 1", got=getattr(self, name))
        if self.round_to not in BUCKETS:
            raise OptionError("round_to", expected=f"one of {BUCKETS}", got=self.round_to)
        if self.probation_steps and self.removal is not Removal.AT_ONCE:
            raise OptionError(
                "removal", expected="'at_once' where there is a probation", got=self.removal.value
            )


@dataclass(frozen=True, kw_only=True)
class Target:
    """A size to end at, in exactly one measure; λ is steered until the network is no larger.

    Attributes:
        features: living ones, of all groups together.
        parameters: of the plain network.
        macs: multiply-accumulate operations for one example.
        milliseconds: of a forward pass with the example inputs, in evaluation, on this machine.
        rate: share of the size that goes in an epoch, while λ is corrected four times.
        first_lam: where λ starts, in loss per unit of gate.
    """

    features: float | None = None
    parameters: float | None = None
    macs: float | None = None
    milliseconds: float | None = None
    rate: float = 0.1
    first_lam: float = 3e-3

    def __post_init__(self) -> None:
        given = {k: v for k, v in self.measures().items() if v is not None}
        if len(given) != 1:
            names = ", ".join(self.measures())
            raise OptionError("target", expected=f"exactly one of {names}", got=given)
        ((name, value),) = given.items()
        if not value > 0:
            raise OptionError(name, expected="positive", got=value)
        if not 0 < self.rate < 1:
            raise OptionError("rate", expected="between 0 and 1", got=self.rate)
        if not self.first_lam > 0:
            raise OptionError("first_lam", expected="positive", got=self.first_lam)

    def measures(self) -> dict[str, float | None]:
        """Return all measures by name, None for those that are not aimed at."""
        names = ("features", "parameters", "macs", "milliseconds")
        return {name: getattr(self, name) for name in names}

    @property
    def measure(self) -> str:
        """The measure that is aimed at."""
        return next(name for name, value in self.measures().items() if value is not None)

    @property
    def size(self) -> float:
        """The size to end at, in that measure."""
        return next(value for value in self.measures().values() if value is not None)


def _member(option: str, kind: type[StrEnum], got: object) -> StrEnum:
    try:
        return kind(str(got))
    except ValueError as error:
        expected = f"one of {', '.join(member.value for member in kind)}"
        raise OptionError(option, expected=expected, got=got) from error


def _whole(option: str, got: object, *, least: int) -> None:
    if not isinstance(got, int) or isinstance(got, bool) or got < least:
        raise OptionError(option, expected=f"a whole number of at least {least}", got=got)
