"""How a job searches: sampler, pruner, objective, limits, budget, and when it is enough."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from shrinknets.wire._base import Wire, WrongFieldError
from shrinknets.wire.ranges import PositiveFloat

if TYPE_CHECKING:
    from shrinknets.wire.spec import JobSpec

Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Limit = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]


class Sampler(StrEnum):
    """Which sampler proposes the next configuration."""

    TPE = "tpe"
    RANDOM = "random"
    GP = "gp"
    CMAES = "cmaes"
    QMC = "qmc"
    NSGA2 = "nsga2"


class PrunerKind(StrEnum):
    """Which trials are ended early."""

    NONE = "none"
    MEDIAN = "median"
    PERCENTILE = "percentile"
    HYPERBAND = "hyperband"
    ASHA = "asha"
    PATIENT = "patient"
    DOMINATION = "domination"


class Pruner(Wire):
    """When a trial is ended before its last epoch; trials of `path` never are."""

    kind: PrunerKind = PrunerKind.NONE
    """`domination` is the one for two objectives; the others want one."""
    warmup_share: Share = 0.2
    """No trial is ended in this first part of its epochs."""
    startup_trials: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 5
    """`median`, `percentile`, `patient`, `domination`: so many of a method run to their end first.
    """
    percentile: Annotated[float, Field(strict=True, gt=0, lt=100)] = 25.0
    """`percentile`: the best so many in a hundred go on."""
    reduction_factor: Annotated[int, Field(strict=True, ge=2, le=100)] = 3
    """`hyperband`, `asha`: one of so many goes on at each rung."""
    min_epochs: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 5
    """`hyperband`, `asha`: epochs before the first rung."""
    patience: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 10
    """`patient`: epochs below its own best so far, after which a trial below the median is ended.
    """
    tolerance: Share = 0.0
    """`patient`: by so much an epoch may be below and still count as good as the best."""
    margin: Share = 0.02
    """`domination`: by so much accuracy a network that is no larger must be better."""


class ObjectiveKind(StrEnum):
    """What is aimed at."""

    ACCURACY = "accuracy"
    ACCURACY_AND_SIZE = "accuracy_and_size"
    MIX = "mix"


class SizeMeasure(StrEnum):
    """In what a network's size is counted."""

    PARAMETERS = "parameters"
    MACS = "macs"


class Objective(Wire):
    """What samplers aim at; accuracy is that on the validation rows."""

    kind: ObjectiveKind = ObjectiveKind.ACCURACY
    """`accuracy_and_size` has two objectives; `mix` is accuracy − weight · log10(size)."""
    size: SizeMeasure = SizeMeasure.PARAMETERS
    weight: Annotated[float, Field(strict=True, gt=0, le=10)] = 0.02
    """`mix`: the accuracy that a tenfold smaller network may lose."""

    @property
    def has_two(self) -> bool:
        return self.kind is ObjectiveKind.ACCURACY_AND_SIZE


class Constraints(Wire):
    """Hard limits on networks; a trial that misses them ends as `infeasible`."""

    max_parameters: Limit | None = None
    """Weights and biases."""
    max_macs: Limit | None = None
    """Multiply-accumulate operations for one example."""
    max_latency_ms: PositiveFloat | None = None
    """Of a forward pass of one example on the CPU of the trial's machine, the median of 15."""

    @property
    def is_empty(self) -> bool:
        return self == Constraints()


class Budget(Wire):
    """What a job may spend; the first limit that is reached ends its search, with success."""

    trials: Annotated[int, Field(strict=True, ge=1, le=10_000_000)] | None = None
    """Trainings of all methods together, repeats counted."""
    seconds: Annotated[float, Field(strict=True, gt=0, le=1e9)] | None = None
    """In which at least one trial of the job runs."""
    training_macs: Annotated[float, Field(strict=True, gt=0, le=1e30)] | None = None
    """Of all epochs: 3 · multiply-accumulates of the network for one example · training rows."""


class TerminatorKind(StrEnum):
    """How it is told that no more gain is to be expected."""

    NONE = "none"
    STAGNATION = "stagnation"
    REGRET = "regret"


class Terminator(Wire):
    """Ends a method's search when no more gain is expected."""

    kind: TerminatorKind = TerminatorKind.NONE
    """`stagnation`: no gain in the last `patience` configurations; `regret`: a Gaussian process
    bounds what is still to be gained, for one objective."""
    patience: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 20
    """Configurations that `stagnation` looks back on, and that `regret` at least wants."""
    min_gain: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.002
    """Less than this, in the objective, is no gain."""


def check_options(spec: "JobSpec") -> None:
    """Raises WrongFieldError where options do not go together."""
    two = spec.objective.has_two
    if two and spec.sampler is Sampler.CMAES:
        others = ", ".join(sampler for sampler in Sampler if sampler is not Sampler.CMAES)
        raise WrongFieldError(
            field="sampler", given="cmaes", allowed=f"with two objectives one of {others}"
        )
    if two and spec.pruner.kind not in {PrunerKind.NONE, PrunerKind.DOMINATION}:
        raise WrongFieldError(
            field="pruner.kind",
            given=spec.pruner.kind.value,
            allowed="with two objectives none or domination",
        )
    if two and spec.terminator.kind is TerminatorKind.REGRET:
        raise WrongFieldError(
            field="terminator.kind", given="regret", allowed="with two objectives stagnation"
        )
    if len(set(spec.warm_start)) < len(spec.warm_start):
        raise WrongFieldError(
            field="warm_start", given=list(spec.warm_start), allowed="each job once"
        )
