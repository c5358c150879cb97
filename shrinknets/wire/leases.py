"""What workers and trials say to the service, and what it answers."""

from typing import Annotated

from pydantic import Field

from shrinknets.wire._base import Count, Storable, Wire, Words
from shrinknets.wire.results import Job, NetworkResult, Params, Record, Trial
from shrinknets.wire.spec import JobSpec
from shrinknets.wire.states import JobState, Method, Order, TrialState

LEASE_HEADER = "Lease-Token"
"""Every write of a worker or a trial shows the token of its lease in this header."""


class ClaimRequest(Wire):
    """A worker asks for the next job."""

    worker: Annotated[str, Field(min_length=1, max_length=200), Storable]
    """The worker's name, for people."""
    host: Annotated[str, Field(max_length=200), Storable] = ""
    """The machine that it runs on."""
    device: Annotated[str, Field(max_length=200), Storable] = ""
    """What its trials compute on, in words."""


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

    method: Method
    number: Count
    params: Params
    seed: Count


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


class RecordBatch(Wire):
    """Epochs since the last batch; an empty batch only renews the lease."""

    records: Annotated[list[Record], Field(max_length=10_000)] = []


class AttemptEnd(Wire):
    """How an attempt ended: the rest of its records and its networks, taken all or nothing."""

    state: TrialState
    """`complete`, `infeasible`, `failed` or `cancelled`."""
    reason: Words = ""
    records: list[Record] = []
    networks: list[NetworkResult] = []
    """Their weights must have been uploaded before."""


class JobEnd(Wire):
    """The driver gives the job back: `succeeded`, `failed`, `cancelled`, or `queued` again."""

    state: JobState
    reason: Words = ""
