"""What the two threads of the Ray engine share: the attempts, and what became of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from worker.engines.base import AttemptExit
from worker.engines.ray_jobs import Submission

FULL_SECONDS = 5.0
"""Ray takes up to so long to start a job that has its place; where one waits longer, it is full."""


class Phase(Enum):
    """How far an attempt has come on its way to Ray."""

    NEW = auto()
    UNSURE = auto()
    """Handed in, but no answer came."""
    SUBMITTED = auto()


@dataclass
class Attempt:
    """One attempt; after it was added, only the thread that watches the cluster changes it."""

    submission: Submission
    token: str
    phase: Phase = Phase.NEW
    is_pending: bool = True
    submitted_at: float = 0.0
    is_to_stop: bool = False
    stopped_at: float | None = None
    node_id: str | None = None
    asked_at: float | None = None
    """When its lease was last looked at."""
    lapsed_at: float | None = None

    @property
    def id(self) -> str:
        return self.submission.id

    @property
    def has_order(self) -> bool:
        """Whether the cluster is still to be told something of it."""
        return self.phase is Phase.NEW or (self.is_to_stop and self.stopped_at is None)

    @property
    def seconds_pending(self) -> float:
        waits = self.phase is Phase.SUBMITTED and self.is_pending
        return time.monotonic() - self.submitted_at if waits else 0.0


class Board:
    """The attempts whose end was not told yet; safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._attempts: dict[str, Attempt] = {}
        self._exits: list[AttemptExit] = []
        self._is_seen = False
        self._num_given_up = 0
        self._is_closing = False

    def attempts(self) -> list[Attempt]:
        with self._changed:
            return list(self._attempts.values())

    def ids(self) -> frozenset[str]:
        with self._changed:
            return frozenset(self._attempts)

    def add(self, attempt: Attempt) -> None:
        with self._changed:
            self._attempts[attempt.id] = attempt
            self._changed.notify_all()

    def order_stop(self, attempt_id: str, *, again: bool) -> None:
        with self._changed:
            if (attempt := self._attempts.get(attempt_id)) is not None:
                attempt.is_to_stop = True
                if again:
                    attempt.stopped_at = None
                self._changed.notify_all()

    def end(self, told: AttemptExit, *, is_given_up: bool = False) -> None:
        """Tell an end; the job of what is given up still waits inside Ray."""
        with self._changed:
            self._num_given_up += is_given_up
            self._attempts.pop(told.attempt_id, None)
            self._exits.append(told)
            self._changed.notify_all()

    def take_exits(self, *, seconds: float) -> list[AttemptExit]:
        """Those since the last call; waits for one."""
        with self._changed:
            self._changed.wait_for(lambda: self._exits, timeout=max(0.0, seconds))
            exits, self._exits = self._exits, []
            return exits

    def set_seen(self, is_seen: bool, *, num_given_up: int = 0) -> None:  # noqa: FBT001
        """Whether the cluster answers, and how many jobs that were given up wait inside it."""
        with self._changed:
            self._is_seen, self._num_given_up = is_seen, num_given_up

    @property
    def has_room(self) -> bool:
        """Whether another job would start soon, as far as one can tell."""
        with self._changed:
            waits = any(a.seconds_pending > FULL_SECONDS for a in self._attempts.values())
            return self._is_seen and not self._num_given_up and not waits

    @property
    def has_orders(self) -> bool:
        return any(attempt.has_order for attempt in self.attempts())

    @property
    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()

    def wait_for_orders(self, *, seconds: float) -> None:
        def is_something() -> bool:
            return self._is_closing or any(a.has_order for a in self._attempts.values())

        self._wait(is_something, seconds)

    def _wait(self, condition: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(condition, timeout=seconds)
