"""States of random generators: what a training on a device draws from, kept and taken up again."""

from collections.abc import Mapping

import torch
from torch import Tensor


def go_on(generator: torch.Generator, state: Tensor) -> None:
    """Set a generator to a state, in place; one of another kind of device leaves it as it is.

    Args:
        generator: on any device.
        state: (bytes,) uint8 on the CPU, as `get_state` of a generator returned it.
    """
    # Kinds of devices have states of different lengths, and no use for each other's.
    if state.shape == generator.get_state().shape:
        generator.set_state(state)


def global_states(device: torch.device) -> dict[str, Tensor]:
    """Return where the generators stand that layers such as dropout draw from, on the CPU.

    Those of the CPU and, of a CUDA device, its own.
    """
    states = {"global": torch.get_rng_state()}
    if device.type == "cuda":
        states["global_cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_global_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set the generators that a training on the device draws from, as far as there are states."""
    torch.set_rng_state(states["global"])
    if device.type == "cuda" and "global_cuda" in states:
        torch.cuda.set_rng_state(states["global_cuda"], device)
