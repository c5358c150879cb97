"""What a user submits: data set, network family with upper bounds, methods and training."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from shrinknets.wire._base import Storable, Wire, WrongFieldError
from shrinknets.wire.choice import ChoiceSpec
from shrinknets.wire.datasets import DatasetName
from shrinknets.wire.outputs import Exports
from shrinknets.wire.states import Method

# Strict: "10" where the number 10 belongs is a mistake in the caller's program, not a number.
Trials = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Width = Annotated[int, Field(strict=True, ge=1, le=100_000)]
PositiveFloat = Annotated[float, Field(strict=True, gt=0, le=1e6)]


class Sampler(StrEnum):
    """Which Optuna sampler proposes the next trial."""

    TPE = "tpe"
    RANDOM = "random"


class Rule(StrEnum):
    """How gates are updated."""

    PROXIMAL = "proximal"
    SUBGRADIENT = "subgradient"


class LogRange(Wire):
    """A positive range that is searched log-uniformly, both ends included."""

    low: PositiveFloat
    high: PositiveFloat

    @model_validator(mode="after")
    def _not_upside_down(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low:g}, high={self.high:g}")
        return self


class IntRange(Wire):
    """A range of whole numbers, both ends included."""

    low: Width
    high: Width

    @model_validator(mode="after")
    def _not_upside_down(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high, got low={self.low}, high={self.high}")
        return self


class MLPBounds(Wire):
    """A multi-layer perceptron: the most hidden units that each hidden layer may have."""

    family: Literal["mlp"] = "mlp"
    widths: Annotated[tuple[Width, ...], Field(min_length=1, max_length=16)] = (256, 256)
    """Upper bound per hidden layer, input side first."""


class ShrinkNetsSearch(Wire):
    """Search λ; each trial trains the widest network and shrinks it."""

    trials: Trials = 10
    lam: LogRange = LogRange(low=1e-3, high=2e-2)
    """λ, in loss per unit of gate."""
    rule: Rule = Rule.PROXIMAL


class PathRun(Wire):
    """Follow λ upwards in one run; each trial yields a whole frontier of networks."""

    trials: Trials = 1
    """Runs with different seeds."""


class FixedSearch(Wire):
    """Search depth and widths of networks whose size stays as it is."""

    trials: Trials = 10
    depth: IntRange | None = None
    """Hidden layers; by default from one to the number of layers in the bounds."""
    width: IntRange | None = None
    """Units per hidden layer, searched log-uniformly; by default from 4 to the layer's bound."""


class FixedL2Search(FixedSearch):
    """`fixed` with an L2 penalty that is searched too."""

    l2: LogRange = LogRange(low=1e-6, high=1e-2)
    """Coefficient of half the squared norm of the weights."""


class Methods(Wire):
    """The methods that a job runs, each with its own number of trials and search space."""

    shrinknets: ShrinkNetsSearch | None = None
    path: PathRun | None = None
    fixed: FixedSearch | None = None
    fixed_l2: FixedL2Search | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not self.chosen():
            known = ", ".join(method for method in Method if method.is_search)
            raise ValueError(f"name at least one method of {known}")
        return self

    def chosen(self) -> dict[Method, int]:
        """The number of trials of each method that the job runs, in a fixed order."""
        methods = [method for method in Method if method.is_search]
        searches = {method: getattr(self, method.value) for method in methods}
        return {method: search.trials for method, search in searches.items() if search is not None}


class TrainingSpec(Wire):
    """How every trial of the job trains: the same for all methods, so that they compare."""

    epochs: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 60
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 64
    lr: Annotated[float, Field(strict=True, gt=0, le=10)] = 1e-3
    """Adam's step size at the start; it is annealed in the last part of the training."""
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.0
    """Decoupled decay of the weights (AdamW); gates never decay."""


EXAMPLE: dict[str, JsonValue] = {
    "name": "digits, small",
    "dataset": "digits",
    "network": {"widths": [100]},
    "methods": {"path": {}, "fixed": {"trials": 4}},
    "training": {"epochs": 30},
}


class JobSpec(Wire):
    """One sizing job."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    name: Annotated[str, Field(max_length=200), Storable] = ""
    dataset: DatasetName
    """One that every worker has, such as `digits`, or one that was uploaded before."""
    network: MLPBounds = MLPBounds()
    methods: Methods
    training: TrainingSpec = TrainingSpec()
    sampler: Sampler = Sampler.TPE
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    """Every trial's own seed follows from this, its method and its number."""
    exports: Exports = ()
    """Formats in which the networks on each trial's frontier are stored too. None by default: an
    export takes seconds, and the weights alone load into plain PyTorch."""
    choice: ChoiceSpec = ChoiceSpec()
    """How the job's network is chosen, and what is trained once it is."""

    @model_validator(mode="after")
    def _searches_stay_within_the_bounds(self) -> Self:
        for method, search in (("fixed", self.methods.fixed), ("fixed_l2", self.methods.fixed_l2)):
            if search is None:
                continue
            layers, narrowest = len(self.network.widths), min(self.network.widths)
            if search.depth is not None and search.depth.high > layers:
                raise WrongFieldError(
                    field=f"methods.{method}.depth.high",
                    given=search.depth.high,
                    allowed=f"at most {layers}, as many as network.widths has",
                )
            if search.width is not None and search.width.high > narrowest:
                raise WrongFieldError(
                    field=f"methods.{method}.width.high",
                    given=search.width.high,
                    allowed=f"at most {narrowest}, the least of network.widths",
                )
        return self
