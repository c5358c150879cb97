"""Counts wrong keys per address, and refuses further ones for a while."""

import ipaddress
import threading
import time

from service.errors import TooManyFailuresError

BURST = 10
"""So many wrong keys are looked at in a row."""
SECONDS_EACH = 6.0
"""After that one in so many seconds."""
MAX_ADDRESSES = 10_000
IPV6_PREFIX = 64
"""One customer has a whole network of this size."""


class Failures:
    """A token bucket per address, in memory; safe to share among threads."""

    def __init__(self) -> None:
        self._full_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Raises TooManyFailuresError where an address has used up its failures."""
        debt = self._full_at.get(_counted_as(address), 0.0) - time.monotonic()
        retry_seconds = debt - (BURST - 1) * SECONDS_EACH
        if retry_seconds > 0:
            raise TooManyFailuresError(retry_seconds)

    def count(self, address: str) -> None:
        """Note that an address showed a wrong key."""
        name, now = _counted_as(address), time.monotonic()
        with self._lock:
            if len(self._full_at) >= MAX_ADDRESSES:
                self._forget(now)
            # The time at which the bucket is full again says how full it is.
            self._full_at[name] = max(self._full_at.get(name, now), now) + SECONDS_EACH

    def _forget(self, now: float) -> None:
        kept = {name: until for name, until in self._full_at.items() if until > now}
        # Too many attackers at once to remember each: those who are nearly forgiven go first.
        newest = sorted(kept, key=kept.__getitem__)[-MAX_ADDRESSES // 2 :]
        self._full_at = {name: kept[name] for name in newest}


def _counted_as(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return address
