"""Points that fill a search space evenly, in a sequence that can be entered anywhere."""

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial
from scipy.stats import qmc


class SobolSampler(BaseSampler):
    """Gives the n-th configuration of a study the n-th point of a scrambled Sobol sequence.

    Optuna's own starts with a random point, and knows only the parameters that the first trial to
    end had; this one covers those of deeper networks too.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], *, seed: int) -> None:
        self._space = dict(space)
        self._seed = seed
        self._others = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        if not search_space:
            return {}
        sequence = qmc.Sobol(len(search_space), scramble=True, rng=self._seed)
        if trial.number:
            sequence.fast_forward(trial.number)
        (point,) = sequence.random(1)
        return {
            name: place_in(distribution, float(share))
            for (name, distribution), share in zip(search_space.items(), point, strict=True)
        }

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._others.sample_independent(study, trial, param_name, param_distribution)


def place_in(distribution: BaseDistribution, share: float) -> Any:
    """The value below which this share (0 to 1, without 1) of a distribution lies."""
    match distribution:
        case CategoricalDistribution():
            return distribution.choices[int(share * len(distribution.choices))]
        case IntDistribution():
            # Half a unit on both sides, so that the ends are as likely as the others.
            low, high = distribution.low - 0.5, distribution.high + 0.5
            nearest = round(_between(low, high, share, log=distribution.log))
            return min(max(nearest, distribution.low), distribution.high)
        case FloatDistribution():
            value = _between(distribution.low, distribution.high, share, log=distribution.log)
            return min(max(value, distribution.low), distribution.high)
        case _:
            raise TypeError(f"no such distribution: {distribution!r}")


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    if not log:
        return low + (high - low) * share
    return math.exp(math.log(low) + (math.log(high) - math.log(low)) * share)
