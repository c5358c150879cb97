"""What the service tells about jobs, trials, epochs and networks."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import ConfigDict, Field

from shrinknets.wire._base import MAX_COUNT, Count, Text, Wire
from shrinknets.wire.outputs import NetworkExports, Sha256
from shrinknets.wire.spec import JobSpec
from shrinknets.wire.states import JobState, Method, Phase, TrialState

Accuracy = Annotated[float, Field(ge=0, le=1)]
Item = TypeVar("Item")
Params = dict[Text, float | int | Text | list[int]]


class Progress(Wire):
    """How far a job has come."""

    total: int
    """Trials that the job will run."""
    ended: int
    running: int
    best_validation_accuracy: float | None
    alive_units: int | None
    """Hidden units alive in the running trial that reported last; None where none is running."""


class Job(Wire):
    """A job as it stands."""

    id: str
    state: JobState
    reason: str
    """Why it is in this state, in words; empty where the state says all."""
    name: str
    """For people; may change, as labels and priority may."""
    labels: dict[str, str]
    priority: int
    """Jobs of higher priority are claimed first."""
    spec: JobSpec
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    worker: str | None
    """The worker that holds the job's lease."""


class Curve(Wire):
    """The learning curve of a trial, thinned, as columns of one length."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "step": [1, 31, 60],
                    "validation_accuracy": [0.31, 0.92, 0.95],
                    "hidden_units": [100, 41, 19],
                }
            ]
        }
    )

    step: list[int]
    validation_accuracy: list[float]
    hidden_units: list[int]
    """Alive features of all hidden layers together."""


class Trial(Wire):
    """A trial as it stands."""

    id: str
    job_id: str
    method: Method
    number: int
    """Counts from 0 within job and method."""
    state: TrialState
    reason: str
    params: Params
    """What the sampler proposed."""
    seed: int
    epochs: int
    """Epochs reported so far."""
    train_seconds: float
    """Seconds of training, without evaluation."""
    validation_accuracy: float | None
    """Of the chosen network once there is one, of the last epoch before."""
    widths: list[int]
    """Alive features per hidden layer, as last reported."""
    parameters: int | None
    macs: int | None = None
    """Of the same network, for one example."""
    latency_ms: float | None = None
    """Of the chosen network, where the job limits it."""
    learned: list[int] = []
    """Numbers of the method's trials whose end the search learned of just before this one."""
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    curve: Annotated[Curve | None, Field(exclude_if=lambda curve: curve is None)] = None
    """All epochs, polishing too; only in lists that were asked for curves."""


class Record(Wire):
    """What a trial reports for one epoch."""

    step: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    """Rises by one with each epoch of the trial."""
    phase: Phase
    train_loss: float
    validation_loss: float
    validation_accuracy: Accuracy
    widths: list[Count]
    """Alive features per hidden layer."""
    parameters: Count
    macs: Count
    """Multiply-accumulate operations for one example."""
    lam: float
    seconds: float
    """Training time of the epoch, without evaluation."""


class NetworkResult(Wire):
    """A trained network of a trial, as the trial hands it in."""

    widths: list[Count]
    hidden_units: Count
    parameters: Count
    macs: Count
    validation_accuracy: Accuracy
    test_accuracy: Accuracy
    step: Count
    """The epoch that it comes from, chosen by validation."""
    lam: float
    latency_ms: float | None = None
    """Of a forward pass of one example on a CPU, where the job limits it."""
    weights_sha256: Sha256
    weights_bytes: Count
    exports: NetworkExports = ()
    """In the formats that the job asks for, where the network is on its trial's frontier."""


class Network(NetworkResult):
    """A trained network in the store."""

    id: str
    job_id: str
    trial_id: str
    method: Method
    number: int
    """The number of its trial."""


class Event(Wire):
    """Something changed; ids rise, so a reader can ask for all after the last one it saw."""

    id: int
    job_id: str
    trial_id: str | None
    kind: str
    """What to read again: `job`, `trial`, `records`, `networks`, `logs`; `deleted`: it is gone."""
    at: datetime


class Page(Wire, Generic[Item]):
    """A page of a list; `next` is the cursor of the following one, if there is one."""

    # Page[Job] is made where it is named, and pydantic looks for docstrings in that source.
    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[Item]
    next: str | None = None


class FieldError(Wire):
    """One thing wrong with the input."""

    field: str
    given: str
    allowed: str


class Problem(Wire):
    """An error (RFC 9457, application/problem+json)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []
    request_id: str | None = None
    """As in the header `X-Request-Id` and in the service's log."""
