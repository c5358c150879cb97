"""Which networks keep the limits of a job, and by how much others miss them."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from shrinknets.wire import Constraints


class Measured(Protocol):
    """What limits look at."""

    @property
    def parameters(self) -> int: ...

    @property
    def macs(self) -> int: ...

    @property
    def latency_ms(self) -> float | None: ...

    @property
    def validation_accuracy(self) -> float: ...


Item = TypeVar("Item", bound=Measured)


def violation(network: Measured, limits: Constraints) -> float:
    """Return the sum of the shares by which a network is over limits; 0 where it keeps all."""
    return sum(excess - 1 for _, excess in _excesses(network, limits) if excess > 1)


def keeping(networks: Iterable[Item], limits: Constraints) -> list[Item]:
    """Return the networks that keep all limits."""
    return [network for network in networks if violation(network, limits) == 0]


def least_violating(networks: Iterable[Item], limits: Constraints) -> Item | None:
    """Return the network that misses the limits least, and of equals the most accurate."""
    return min(
        networks,
        key=lambda network: (violation(network, limits), -network.validation_accuracy),
        default=None,
    )


def missed_in_words(network: Measured, limits: Constraints) -> str:
    """Return which limits a network misses and by how much; empty where it keeps all."""
    return " and ".join(words for words, excess in _excesses(network, limits) if excess > 1)


def _excesses(network: Measured, limits: Constraints) -> Iterable[tuple[str, float]]:
    """Each limit in words, with the network's size as a share of it."""
    counts = {
        "parameters": (network.parameters, limits.max_parameters),
        "multiply-accumulates": (network.macs, limits.max_macs),
    }
    for name, (size, limit) in counts.items():
        if limit is not None:
            yield f"{size:,} {name}, {size - limit:,} more than {limit:,}", size / limit
    if limits.max_latency_ms is not None and network.latency_ms is not None:
        time, limit_ms = network.latency_ms, limits.max_latency_ms
        yield f"{time:.3g} ms, {time - limit_ms:.2g} ms more than {limit_ms:g}", time / limit_ms
