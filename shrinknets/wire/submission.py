"""What users send about jobs: a submission, changes of one, and changes for a clone."""

from typing import Annotated

from pydantic import ConfigDict, Field

from shrinknets.wire._base import Storable, Wire
from shrinknets.wire.choice import ChoiceSpec
from shrinknets.wire.datasets import DatasetName
from shrinknets.wire.network import NetworkBounds
from shrinknets.wire.outputs import Exports
from shrinknets.wire.ranges import PositiveFloat
from shrinknets.wire.search_options import (
    Budget,
    Constraints,
    Objective,
    Pruner,
    Sampler,
    Terminator,
)
from shrinknets.wire.spec import (
    EXAMPLE,
    JobSpec,
    Methods,
    Repeats,
    TrainingSpec,
    WarmStart,
)

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""A submission that is sent twice with the same key in this header makes one job."""

MAX_LABELS = 32

JobName = Annotated[str, Field(max_length=200), Storable]
LabelKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$")]
LabelValue = Annotated[str, Field(max_length=200), Storable]
Labels = Annotated[
    dict[LabelKey, LabelValue],
    # The schema names the pattern of keys, and would allow anything under other keys.
    Field(max_length=MAX_LABELS, json_schema_extra={"additionalProperties": False}),
]
Priority = Annotated[int, Field(strict=True, ge=-100, le=100)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class JobSubmission(JobSpec):
    """A sizing job with what steers its place in lists and in the queue."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE | {"labels": {"team": "vision", "sweep": "7"}, "priority": 10}]
        }
    )

    labels: Labels = {}
    """Words to find the job by, as a map from keys to values."""
    priority: Priority = 0
    """Jobs of higher priority are claimed first, and of equal priority the older."""

    def spec(self) -> JobSpec:
        """The part that says what is to be done."""
        return JobSpec(**{field: getattr(self, field) for field in JobSpec.model_fields})


class JobPatch(Wire):
    """Changes of a job; what is left out stays."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "digits, urgent", "priority": 50}]}
    )

    name: JobName | None = None
    labels: Labels | None = None
    """Replaces all labels."""
    priority: Priority | None = None


class CloneChanges(Wire):
    """In what a clone differs from its original; each field that is given replaces a whole one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "digits, longer", "training": {"epochs": 200}}]}
    )

    name: JobName | None = None
    dataset: DatasetName | None = None
    network: NetworkBounds | None = None
    methods: Methods | None = None
    training: TrainingSpec | None = None
    sampler: Sampler | None = None
    pruner: Pruner | None = None
    objective: Objective | None = None
    constraints: Constraints | None = None
    budget: Budget | None = None
    repeats: Repeats | None = None
    terminator: Terminator | None = None
    warm_start: WarmStart | None = None
    seed: Seed | None = None
    trial_seconds: PositiveFloat | None = None
    exports: Exports | None = None
    choice: ChoiceSpec | None = None
    labels: Labels | None = None
    priority: Priority | None = None


class Plan(Wire):
    """What a submission would become."""

    spec: JobSpec
    """With every default filled in."""
    labels: Labels
    priority: int
    total_trials: int
    largest_parameters: int | None
    """Weights and biases of the largest network that a trial could train; None if not known."""
    largest_macs: int | None
    """Multiply-accumulate operations of that network for one example; None if not known."""
    training_seconds: float | None
    """Of all trials one after the other, at the pace of trials of the same methods that ended on
    the same data here; None if not known. Slots and workers divide it."""
    unknown_because: str
    """What is not known, and why; empty where all is."""
