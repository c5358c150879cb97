"""The networks that no other beats in both accuracy and size."""

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Sized(Protocol):
    """What the frontier looks at."""

    @property
    def parameters(self) -> int: ...

    @property
    def validation_accuracy(self) -> float: ...


Item = TypeVar("Item", bound=Sized)


def frontier(networks: Iterable[Item]) -> list[Item]:
    """Return the networks that no other beats in both, smallest first.

    Accuracy is on the validation rows: the test rows must not choose. Of networks that tie in
    both, the first one counts.
    """
    best: list[Item] = []
    for network in sorted(networks, key=lambda n: (n.parameters, -n.validation_accuracy)):
        if not best or network.validation_accuracy > best[-1].validation_accuracy:
            best.append(network)
    return best


def best(networks: Iterable[Item], *, max_parameters: int | None = None) -> Item | None:
    """Return the most accurate network on validation, the smaller one of equals, or None."""
    fitting = [n for n in networks if max_parameters is None or n.parameters <= max_parameters]
    return min(fitting, key=lambda n: (-n.validation_accuracy, n.parameters), default=None)
