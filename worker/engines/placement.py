"""Which device an attempt computes on, and what its process is told about that."""

from collections.abc import Sequence

from worker.device import Device, Kind
from worker.trial.environment import DEVICE_VARIABLE, MEMORY_VARIABLE, THREADS_VARIABLE

CONTEXT_MIB = 600
"""What a process takes of a card before it has allocated anything."""


class Placement:
    """Shares out devices among attempts; the least loaded one is next, of equals the first."""

    def __init__(self, devices: Sequence[Device], *, slots: int, threads: int) -> None:
        """Each device has so many slots; an attempt computes with `threads` threads."""
        self._devices = tuple(devices)
        self._slots = slots
        self._threads = threads
        self._places: dict[str, int] = {}

    @property
    def num_slots(self) -> int:
        """Of all devices together."""
        return self._slots * len(self._devices)

    def take(self, attempt_id: str) -> dict[str, str]:
        """Give an attempt a device; returns the environment variables that say so.

        Whoever starts more attempts than there are slots shares them out evenly.
        """
        loads = [0] * len(self._devices)
        for place in self._places.values():
            loads[place] += 1
        place = loads.index(min(loads))
        self._places[attempt_id] = place
        return self._variables(self._devices[place])

    def release(self, attempt_id: str) -> None:
        """The attempt's process is gone."""
        self._places.pop(attempt_id, None)

    def _variables(self, device: Device) -> dict[str, str]:
        variables = {
            # Seen from inside it is the only card. Empty, it hides them all.
            "CUDA_VISIBLE_DEVICES": device.card,
            DEVICE_VARIABLE: "cuda:0" if device.kind is Kind.CUDA else device.kind.value,
            THREADS_VARIABLE: str(self._threads),
        }
        if device.kind is Kind.CUDA and self._slots > 1:
            variables[MEMORY_VARIABLE] = f"{memory_fraction(device, self._slots):.4f}"
        return variables


def memory_fraction(device: Device, slots: int) -> float:
    """The share of a card's memory that each of so many processes may allocate."""
    if device.memory_mib is None:
        return 0.9 / slots
    usable = max(device.memory_mib - slots * CONTEXT_MIB, device.memory_mib / 2)
    return usable / device.memory_mib / slots
