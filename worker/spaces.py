"""Search spaces as they are asked for one parameter at a time, with user-set values left out."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from shrinknets.wire import LogRange

Space = dict[str, BaseDistribution]


class Suggesting(Protocol):
    """What is asked of an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[int]) -> Any: ...


class Asking:
    """Asks a trial for parameters; those that the user set are not searched."""

    def __init__(self, trial: Suggesting, fix: Mapping[str, float | int]) -> None:
        self._trial = trial
        self._fix = fix

    def log_uniform(self, name: str, limits: LogRange) -> float:
        if name in self._fix:
            return self._fix[name]
        return self._trial.suggest_float(name, limits.low, limits.high, log=True)

    def whole(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        if name in self._fix:
            return int(self._fix[name])
        return self._trial.suggest_int(name, low, high, log=log)

    def one_of(self, name: str, choices: Sequence[int]) -> int:
        if name in self._fix:
            return int(self._fix[name])
        return int(self._trial.suggest_categorical(name, choices))


class SpaceReader:
    """Stands for a trial whose numbers are all at one end of their ranges, and notes the ranges.

    Where a range depends on a number, such as the widths of as many layers as there are, the low
    end shows what every trial has, and the high end all that there can be.
    """

    def __init__(self, *, at_high_end: bool) -> None:
        self._at_high_end = at_high_end
        self.space: Space = {}

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        self.space[name] = FloatDistribution(low, high, log=log)
        return high if self._at_high_end else low

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        self.space[name] = IntDistribution(low, high, log=log)
        return high if self._at_high_end else low

    def suggest_categorical(self, name: str, choices: Sequence[int]) -> int:
        self.space[name] = CategoricalDistribution(tuple(choices))
        return choices[0]
