"""Stops attempts that take longer than they may: asked first, then ended, then killed."""

import time
from dataclasses import dataclass

from worker.engines import Engine


@dataclass
class _Limit:
    stop_at: float
    was_asked: bool = False


class TimeLimits:
    """The attempts of a job whose time is measured.

    Their processes know the limit too and end by themselves; who doesn't is stopped here.
    """

    def __init__(
        self, engine: Engine, *, flag_seconds: float = 0.4, terminate_seconds: float = 0.5
    ) -> None:
        """SIGTERM comes `flag_seconds` after the limit, SIGKILL `terminate_seconds` later."""
        self._engine = engine
        self._flag_seconds = flag_seconds
        self._terminate_seconds = terminate_seconds
        self._limits: dict[str, _Limit] = {}

    def watch(self, attempt_id: str, *, seconds: float) -> None:
        """The attempt starts now and may take so long."""
        self._limits[attempt_id] = _Limit(time.monotonic() + seconds + self._flag_seconds)

    def enforce(self) -> None:
        """Stop who is over the limit."""
        now = time.monotonic()
        for attempt_id, limit in self._limits.items():
            if now >= limit.stop_at:
                self._engine.stop(attempt_id, force=limit.was_asked)
                # Again and again, should a signal be of no effect.
                limit.stop_at = now + (1.0 if limit.was_asked else self._terminate_seconds)
                limit.was_asked = True

    def seconds_left(self) -> float:
        """Until `enforce` must be called again."""
        due = min((limit.stop_at for limit in self._limits.values()), default=float("inf"))
        return max(0.0, due - time.monotonic())

    def forget(self, attempt_id: str) -> bool:
        """The attempt's process is gone; returns whether it was stopped for its time."""
        limit = self._limits.pop(attempt_id, None)
        return limit is not None and limit.was_asked
