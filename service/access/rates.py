"""Limits how many requests per second one key may make, or one address where no key is needed."""

from service.access.buckets import Buckets
from service.access.failures import counted_as
from service.access.identity import Identity
from service.errors import TooManyRequestsError

BURST_SECONDS = 5.0
"""So much of the rate may come at once."""


class Rates:
    """What callers have left of their requests."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        burst = max(1, round(per_second * BURST_SECONDS))
        self._buckets = Buckets(burst=burst, seconds_each=1 / per_second)

    def count(self, caller: Identity, address: str) -> None:
        """Count a request. Raises TooManyRequestsError where it is one too many."""
        name = caller.key_id or counted_as(address)
        retry_seconds = self._buckets.seconds_until_free(name)
        if retry_seconds > 0:
            raise TooManyRequestsError(self._per_second, retry_seconds)
        self._buckets.take(name)
