"""Facts: what a committed change means to those who count, told once the commit holds."""

from dataclasses import dataclass
from typing import Literal

from shrinknets.wire import Method, TrialState


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """A worker got a job."""


@dataclass(frozen=True, kw_only=True)
class LeasesLost:
    """Holders were silent for too long."""

    what: Literal["job", "attempt"]
    count: int


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial that had been started came to an end."""

    method: Method
    state: TrialState
    seconds: float
    """From the start of its first attempt."""


@dataclass(frozen=True, kw_only=True)
class EpochsTaken:
    """Trials reported epochs; one that was reported twice counts twice."""

    count: int


@dataclass(frozen=True, kw_only=True)
class CheckpointsDropped:
    """Nothing goes on from these any more."""

    files: tuple[str, ...]
    """Their SHA-256."""


Fact = Claimed | LeasesLost | TrialEnded | EpochsTaken | CheckpointsDropped
