"""Whether what was trained again is what the service has."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shrinknets.wire import Network, Record

_NEVER_EQUAL = frozenset({"seconds"})
"""Fields that say how fast it went, and not what was computed."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first number that is not as it was."""

    step: int
    field: str
    here: object
    there: object

    def in_words(self) -> str:
        return f"epoch {self.step}: {self.field} is {self.here!r} here and {self.there!r} there"


class Comparison:
    """Compares epochs and networks one by one, bit for bit.

    Attributes:
        num_epochs: those that are known in the service and came again.
        num_networks: networks that came again with the same content.
        difference: the first one among the epochs; None as long as there is none.
    """

    def __init__(self, records: Iterable[Record], networks: Iterable[Network]) -> None:
        self._records: Mapping[int, Record] = {record.step: record for record in records}
        self._sha256 = {network.weights_sha256 for network in networks}
        self.num_known_epochs = len(self._records)
        self.num_known_networks = len(self._sha256)
        self.num_epochs = 0
        self.num_networks = 0
        self.difference: Difference | None = None

    def add(self, record: Record) -> None:
        """Compare an epoch."""
        known = self._records.get(record.step)
        if known is None:
            return
        self.num_epochs += 1
        for field in Record.model_fields:
            here, there = getattr(record, field), getattr(known, field)
            if field not in _NEVER_EQUAL and here != there and self.difference is None:
                self.difference = Difference(step=record.step, field=field, here=here, there=there)

    def add_network(self, sha256: str) -> None:
        """Compare a network by the digest of its file."""
        self.num_networks += sha256 in self._sha256

    @property
    def is_equal(self) -> bool | None:
        """Whether all is as it was; None where the service knows nothing to compare with."""
        if not self._records:
            return None
        return (
            self.difference is None
            and self.num_epochs == self.num_known_epochs
            and self.num_networks == self.num_known_networks
        )

    def in_words(self) -> str:
        if self.is_equal is None:
            return "the service has no epochs of this trial to compare with"
        if self.difference is not None:
            return (
                f"not as in the service: {self.difference.in_words()}. Another device, another "
                "number of threads or another version of torch rounds differently"
            )
        return (
            f"{self.num_epochs} of {self.num_known_epochs} epochs and {self.num_networks} of "
            f"{self.num_known_networks} networks are as in the service, bit for bit"
        )
