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


def best(
    networks: Iterable[Item], *, max_parameters: int | None = None, within: float = 0.0
) -> Item | None:
    """Return the smallest network that is within so much of the best accuracy on validation.

    Args:
        networks: to choose from.
        max_parameters: look only at networks of at most so many weights and biases.
        within: the accuracy that may be given up for size, a share: 0.01 is one point. At 0 the
            most accurate network is chosen, the smaller one of equals.
    """
    fitting = [n for n in networks if max_parameters is None or n.parameters <= max_parameters]
    if not fitting:
        return None
    enough = max(n.validation_accuracy for n in fitting) - within
    # Sums of shares round: a network that is exactly so much below the best still counts.
    good = [n for n in fitting if n.validation_accuracy >= enough - 1e-9]
    return min(good, key=lambda n: (n.parameters, -n.validation_accuracy))
