"""Counts wrong keys per address, and refuses further ones for a while."""

import ipaddress

from service.access.buckets import Buckets
from service.errors import TooManyFailuresError

BURST = 10
"""So many wrong keys are looked at in a row."""
SECONDS_EACH = 6.0
"""After that one in so many seconds."""
IPV6_PREFIX = 64
"""One customer has a whole network of this size."""


class Failures:
    """What addresses have left of their failures."""

    def __init__(self) -> None:
        self._buckets = Buckets(burst=BURST, seconds_each=SECONDS_EACH)

    def check(self, address: str) -> None:
        """Raises TooManyFailuresError where an address has used up its failures."""
        retry_seconds = self._buckets.seconds_until_free(counted_as(address))
        if retry_seconds > 0:
            raise TooManyFailuresError(retry_seconds)

    def count(self, address: str) -> None:
        """Note that an address showed a wrong key."""
        self._buckets.take(counted_as(address))


def counted_as(address: str) -> str:
    """The address, or the network that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return address
