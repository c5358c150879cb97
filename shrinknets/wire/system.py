"""What the service tells of itself and of the workers that it knows."""

from datetime import datetime
from enum import StrEnum

from shrinknets.wire._base import Wire
from shrinknets.wire.states import JobState


class WorkerState(StrEnum):
    """What a worker does, as far as the service can know."""

    IDLE = "idle"
    BUSY = "busy"
    SILENT = "silent"
    """Not heard of for longer than a job's lease: stopped, or cut off."""


class WorkerInfo(Wire):
    """A worker that asked for jobs; one of the same name takes its place."""

    name: str
    host: str
    """Empty where it did not say."""
    device: str
    """What its trials compute on, in words."""
    families: list[str] | None
    """The network families that its trials can build; None where it did not say."""
    state: WorkerState
    jobs: list[str]
    """The ids of the jobs that it holds."""
    trials: list[str]
    """The ids of the trials that its processes work on."""
    first_seen_at: datetime
    last_seen_at: datetime
    """Its last heartbeat, to within a few seconds."""


class Storage(Wire):
    """What is stored, in bytes."""

    database_bytes: int
    artifacts: int
    artifact_bytes: int


class System(Wire):
    """The service and what it holds."""

    version: str
    python: str
    database: str
    """`sqlite` or `postgresql`."""
    schema_revision: str
    jobs: dict[JobState, int]
    trials: int
    networks: int
    attempts_running: int
    workers: int
    """Those that are not silent."""
    storage: Storage
