"""What workers and trials say to the service, and what it answers."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from shrinknets.wire._base import Count, Storable, Wire, Words
from shrinknets.wire.checkpoints import CheckpointFile
from shrinknets.wire.datasets import DatasetFile
from shrinknets.wire.families import FamilyOffer
from shrinknets.wire.network import MLP
from shrinknets.wire.results import Job, NetworkResult, Params, Record, Trial
from shrinknets.wire.spec import JobSpec
from shrinknets.wire.states import JobState, Method, Order, TrialState

MAX_WAIT_SECONDS = 60
"""Proxies cut off what is silent for longer."""

LEASE_HEADER = "Lease-Token"
"""Every write of a worker or a trial shows the token of its lease in this header."""


_RECORD: Any = {
    "step": 1,
    "phase": "shrink",
    "train_loss": 0.71,
    "validation_loss": 0.78,
    "validation_accuracy": 0.81,
    "widths": [93, 41],
    "parameters": 10393,
    "macs": 10249,
    "lam": 0.004,
    "seconds": 0.12,
}
_NETWORK: Any = {
    "widths": [12, 7],
    "hidden_units": 19,
    "parameters": 951,
    "macs": 922,
    "validation_accuracy": 0.95,
    "test_accuracy": 0.94,
    "step": 52,
    "lam": 0.004,
    "weights_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "weights_bytes": 5120,
}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ClaimRequest(Wire):
    """A worker asks for the next job."""

    model_config = _example(worker="gpu-7", wait_seconds=20)

    worker: Annotated[str, Field(min_length=1, max_length=200), Storable]
    """The worker's name, for people."""
    wait_seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_SECONDS)] = 0.0
    """How long to wait for a job where none is queued."""
    host: Annotated[str, Field(max_length=200), Storable] = ""
    """The machine that it runs on."""
    device: Annotated[str, Field(max_length=200), Storable] = ""
    """What its trials compute on, in words."""
    families: Annotated[tuple[FamilyOffer, ...], Field(max_length=1_000)] | None = None
    """What its trials can build: the worker is given jobs of these families and of `mlp`. None
    while it does not know; then it is given jobs of `mlp` alone."""

    @property
    def buildable(self) -> frozenset[str]:
        """The names of the families whose jobs the worker may be given."""
        return frozenset({MLP, *(family.name for family in self.families or ())})


class Claim(Wire):
    """A job that the worker now holds; nobody else can write for it while the lease lasts."""

    job: Job
    token: str
    lease_seconds: float
    """The lease runs out unless it is renewed within this time."""


class Renewal(Wire):
    """The answer to every renewal of a lease."""

    order: Order


class TrialRequest(Wire):
    """The driver announces a trial; the same (method, number) again gives the same trial."""

    model_config = _example(method="shrinknets", number=0, params={"lam": 0.004}, seed=11)

    method: Method
    number: Count
    params: Params
    seed: Count
    learned: tuple[Count, ...] = ()
    """Numbers of the method's trials whose end the search has learned of since it announced the
    trial before, in that order: a driver that takes over can then ask and tell as this one did."""


class Attempt(Wire):
    """One process's right to work on a trial."""

    id: str
    token: str
    lease_seconds: float
    trial: Trial


class TrialAssignment(Wire):
    """All that a trial's process must know."""

    spec: JobSpec
    trial: Trial
    data: DatasetFile | None = None
    """The file of the data set; None for one that every worker has."""
    checkpoints: list[CheckpointFile] = []
    """What the trial can go on from, newest first. Where there are any, its process says which it
    took, as the records after it are those of a process that was lost."""


class RecordBatch(Wire):
    """Epochs since the last batch; an empty batch only renews the lease."""

    model_config = _example(records=[_RECORD])

    records: Annotated[list[Record], Field(max_length=10_000)] = []


class AttemptEnd(Wire):
    """How an attempt ended: the rest of its records and its networks, taken all or nothing."""

    model_config = _example(state="complete", records=[_RECORD], networks=[_NETWORK])

    state: TrialState
    """`complete`, `infeasible`, `pruned`, `failed` or `cancelled`; `waiting` gives the trial back.
    """
    reason: Words = ""
    records: list[Record] = []
    networks: list[NetworkResult] = []
    """Their weights must have been uploaded before."""


class JobEnd(Wire):
    """The driver gives the job back."""

    model_config = _example(state="succeeded")

    state: Literal[
        JobState.SUCCEEDED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.PAUSED,
        JobState.QUEUED,
    ]
    reason: Words = ""
