"""Makes the sampler of one proposal; what a sampler cannot do, another one does."""

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from shrinknets.wire import Sampler
from worker.sobol import SobolSampler
from worker.spaces import Space

GP_TRIALS = 300
"""From here on TPE takes over: a Gaussian process needs 77 ms at 100 trials and 6.5 s at 1,000."""

KEEPING_STATE = frozenset({Sampler.CMAES, Sampler.QMC, Sampler.NSGA2})
"""Samplers whose proposals depend on how earlier ones were made, not on their results alone."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """The search space of a method."""

    always: Space
    """Parameters that every configuration has."""
    whole: Space
    """With those that only some have."""

    @property
    def numeric(self) -> Space:
        """Those of `always` that are numbers and not settled."""
        return {
            name: one
            for name, one in self.always.items()
            if not isinstance(one, optuna.distributions.CategoricalDistribution)
            and not one.single()
        }


def make_sampler(
    sampler: Sampler, space: SearchSpace, *, seed: int, job_seed: int, known: int, planned: int
) -> BaseSampler:
    """The sampler of one proposal.

    Args:
        sampler: what the job asks for.
        space: the method's.
        seed: of this proposal.
        job_seed: the same for all proposals of a method, for sequences that go on.
        known: configurations in the study.
        planned: configurations that the method has in all.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match sampler:
            case Sampler.RANDOM:
                return RandomSampler(seed=seed)
            case Sampler.QMC:
                return SobolSampler(space.whole, seed=job_seed)
            case Sampler.NSGA2:
                return NSGAIISampler(population_size=population_size(planned), seed=seed)
            case Sampler.GP if known < GP_TRIALS:
                return GPSampler(seed=seed, warn_independent_sampling=False)
            # In one dimension there is no covariance to adapt.
            case Sampler.CMAES if len(space.numeric) > 1:
                return _CmaEsOverFixedSpace(space.numeric, seed=seed)
            case Sampler.TPE | Sampler.GP | Sampler.CMAES:
                # `group` is what makes widths that only deep networks have part of the model.
                return TPESampler(seed=seed, multivariate=True, group=True)


def population_size(planned: int) -> int:
    """Of NSGA-II: ten generations where there are enough trials for that."""
    return max(4, min(50, planned // 10))


class _CmaEsOverFixedSpace(CmaEsSampler):
    """Searches the numbers that every configuration has; the others are drawn at random.

    Optuna's takes what the trials so far have in common: after the first one with fewer layers it
    would have another dimension, and never adapt again.
    """

    def __init__(self, space: Space, *, seed: int) -> None:
        super().__init__(seed=seed, warn_independent_sampling=False)
        self._space = space

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        return self._space


def forget_what_was_not_used(study: Study, trial: optuna.Trial) -> None:
    """Leave to a running trial only the parameters that it was asked for.

    TPE and the Gaussian process keep all that they drew, such as the width of a layer that the
    network does not have, and look at it while the trial runs. The service knows only what is used,
    and a study that is rebuilt must propose the same.
    """
    storage, number = study._storage, trial._trial_id  # noqa: SLF001
    attributes: dict[str, Any] = storage.get_trial(number).system_attrs
    for name in [name for name in attributes if ":relative_params:" in name]:
        storage.set_trial_system_attr(number, name, "")
