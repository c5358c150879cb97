"""What a user submits: data set, network family with upper bounds, methods and training."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator

from shrinknets.wire._base import Storable, Wire, WrongFieldError
from shrinknets.wire.choice import ChoiceSpec
from shrinknets.wire.datasets import DatasetName
from shrinknets.wire.network import MLP, NetworkBounds
from shrinknets.wire.outputs import Exports
from shrinknets.wire.points import check_points
from shrinknets.wire.ranges import IntRange, LogRange, PositiveFloat
from shrinknets.wire.search_options import (
    Budget,
    Constraints,
    Objective,
    Pruner,
    Sampler,
    Terminator,
    check_options,
)
from shrinknets.wire.states import Method
from shrinknets.wire.tuning import Fix, Tuned

# Strict: "10" where the number 10 belongs is a mistake in the caller's program, not a number.
Trials = Annotated[int, Field(strict=True, ge=1, le=100_000)]


Repeats = Annotated[int, Field(strict=True, ge=1, le=100)]
JobId = Annotated[str, Field(min_length=1, max_length=32), Storable]
WarmStart = Annotated[tuple[JobId, ...], Field(max_length=20)]


class Rule(StrEnum):
    """How gates are updated."""

    PROXIMAL = "proximal"
    SUBGRADIENT = "subgradient"


class ShrinkNetsSearch(Tuned):
    """Search λ; each trial trains the widest network and shrinks it."""

    trials: Trials = 10
    lam: LogRange = LogRange(low=1e-3, high=2e-2)
    """λ, in loss per unit of gate."""
    rule: Rule = Rule.PROXIMAL


class PathRun(Wire):
    """Follow λ upwards in one run; each trial yields a whole frontier of networks."""

    trials: Trials = 1
    """Runs with different seeds."""
    fix: Fix = {}


class FixedSearch(Tuned):
    """Search depth and widths of networks whose size stays as it is."""

    trials: Trials = 10
    depth: IntRange | None = None
    """Hidden layers, or of other families the layers that a network can do without; by default from
    one to as many as the bounds have."""
    width: IntRange | None = None
    """Features per layer, searched log-uniformly; by default from 4 to the layer's bound."""


class FixedL2Search(FixedSearch):
    """`fixed` with an L2 penalty that is searched too."""

    l2: LogRange = LogRange(low=1e-6, high=1e-2)
    """Coefficient of half the squared norm of the weights."""


Search = ShrinkNetsSearch | PathRun | FixedSearch | FixedL2Search


class Precision(StrEnum):
    """In what numbers products are computed while training; all else is float32."""

    FP32 = "fp32"
    TF32 = "tf32"
    """Faster on GPUs that have it, less exact; elsewhere the same as `fp32`."""
    BF16 = "bf16"


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

    def search_of(self, method: Method) -> "Search":
        """The options of a method that the job runs."""
        search: Search | None = getattr(self, method.value)
        assert search is not None, method
        return search


class TrainingSpec(Wire):
    """How every trial of the job trains: the same for all methods, so that they compare."""

    epochs: Annotated[int, Field(strict=True, ge=2, le=100_000)] = 60
    batch_size: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 64
    lr: Annotated[float, Field(strict=True, gt=0, le=10)] = 1e-3
    """Adam's step size at the start; it is annealed in the last part of the training."""
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1)] = 0.0
    """Decoupled decay of the weights (AdamW); gates never decay."""
    precision: Precision = Precision.FP32
    compile: Annotated[bool, Field(strict=True)] = False
    """Whether to compile networks whose size stays, by `torch.compile`: fixed ones, and one that
    has shrunk while it is polished. Without a compiler on the worker they train as they are."""


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
    network: NetworkBounds = NetworkBounds()
    methods: Methods
    training: TrainingSpec = TrainingSpec()
    sampler: Sampler = Sampler.TPE
    pruner: Pruner = Pruner()
    objective: Objective = Objective()
    constraints: Constraints = Constraints()
    budget: Budget = Budget()
    repeats: Repeats = 1
    """Trainings of each configuration, with a seed of its own each; a method's `trials` counts
    configurations."""
    terminator: Terminator = Terminator()
    warm_start: WarmStart = ()
    """Ids of earlier jobs, whose finished trials of the same method the samplers know from the
    start."""
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    """Every trial's own seed follows from this, its method and its number."""
    trial_seconds: PositiveFloat | None = None
    """A trial that takes longer, all its attempts together, is stopped and fails; the others go
    on. No limit by default."""
    exports: Exports = ()
    """Formats in which the networks on each trial's frontier are stored too. None by default: an
    export takes seconds, and the weights alone load into plain PyTorch."""
    choice: ChoiceSpec = ChoiceSpec()
    """How the job's network is chosen, and what is trained once it is."""

    @model_validator(mode="after")
    def _searches_stay_within_the_bounds(self) -> Self:
        widths = self.network.widths or ()
        if not any(widths):
            return self
        for method, search in (("fixed", self.methods.fixed), ("fixed_l2", self.methods.fixed_l2)):
            if search is None:
                continue
            layers, narrowest = len(widths), min(width for width in widths if width > 0)
            is_mlp = self.network.family == MLP
            if is_mlp and search.depth is not None and search.depth.high > layers:
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

    @model_validator(mode="after")
    def _search_options_fit(self) -> Self:
        check_options(self)
        check_points(self)
        return self

    def trials_of_methods(self) -> dict[Method, int]:
        """The trainings of each method, repeats counted, in a fixed order; a budget may end it."""
        return {method: count * self.repeats for method, count in self.methods.chosen().items()}

    @property
    def search_trials(self) -> int:
        """The trainings of the search at most."""
        total = sum(self.trials_of_methods().values())
        return total if self.budget.trials is None else min(total, self.budget.trials)

    @property
    def total_trials(self) -> int:
        """The trainings that the job runs at most, with those that follow the choice."""
        return self.search_trials + self.choice.num_trials
