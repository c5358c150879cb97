"""What the driver asks of any engine."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class AttemptExit:
    """The process of an attempt is gone, with all that it started."""

    attempt_id: str
    reason: str
    """How it ended, in words."""
    exit_code: int | None
    """Negative for a signal; None when nobody saw it end."""
    last_lines: str
    """The end of what it wrote to stdout and stderr."""
    has_run: bool = True
    """False where no process was ever started, so that its trial may simply wait."""


class Engine(Protocol):
    """Starts the trial command and stops it; keeps no queue and retries nothing."""

    def can_start(self) -> bool:
        """Whether an attempt that is started now would have a place to run."""

    def start(self, attempt_id: str, variables: Mapping[str, str]) -> None:
        """Start the command with these environment variables, without waiting for it."""

    def wait(self, seconds: float) -> list[AttemptExit]:
        """The attempts that ended since the last call; returns at once when there are any."""

    def running(self) -> frozenset[str]:
        """The attempts whose end `wait` has not told yet."""

    def stop(self, attempt_id: str, *, force: bool = False) -> None:
        """Ask the process group to end (SIGTERM), or end it (SIGKILL), without waiting."""

    def output_of(self, attempt_id: str) -> Path:
        """The file that gets the process's stdout and stderr; it is the caller's to delete."""

    def close(self) -> None:
        """Let go of everything; what still runs is killed."""


def stop_all(engine: Engine, *, grace_seconds: float) -> None:
    """Stop every attempt of the engine: SIGTERM, then SIGKILL to what is left after the grace."""
    for attempt_id in engine.running():
        engine.stop(attempt_id)
    wait_until_gone(engine, seconds=grace_seconds)
    for attempt_id in engine.running():
        engine.stop(attempt_id, force=True)
    wait_until_gone(engine, seconds=5.0)


def wait_until_gone(engine: Engine, *, seconds: float) -> None:
    """Return when no attempt runs any more, or when the time is up."""
    deadline = time.monotonic() + seconds
    while engine.running() and (left := deadline - time.monotonic()) > 0:
        engine.wait(left)
