"""Token buckets: so much at once, and after that so much per second."""

import threading
import time

MAX_NAMES = 10_000


class Buckets:
    """A bucket for each name, in memory; safe to share among threads."""

    def __init__(self, *, burst: int, seconds_each: float) -> None:
        self._burst = burst
        self._seconds_each = seconds_each
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def seconds_until_free(self, name: str) -> float:
        """How long until one more may be taken; not above 0 where it may be now."""
        debt = self._full_at.get(name, 0.0) - time.monotonic()
        return debt - (self._burst - 1) * self._seconds_each

    def take(self, name: str) -> None:
        """Take one, whether or not it may be."""
        now = time.monotonic()
        with self._lock:
            if len(self._full_at) >= MAX_NAMES:
                self._forget(now)
            # The time at which the bucket is full again says how full it is.
            self._full_at[name] = max(self._full_at.get(name, now), now) + self._seconds_each

    def _forget(self, now: float) -> None:
        kept = {name: until for name, until in self._full_at.items() if until > now}
        # Too many at once to remember each: those that are nearly full go first.
        newest = sorted(kept, key=kept.__getitem__)[-MAX_NAMES // 2 :]
        self._full_at = {name: kept[name] for name in newest}
