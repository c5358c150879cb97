"""States of trainings as plain values: copies of tensors, optimisers and records from them."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from shrinknets_core.events import EpochRecord, Phase


def copied(state: Any) -> Any:
    """Return nested plain values with copies of the tensors in them, on the CPU; waits for them."""
    match state:
        case Tensor():
            return state.detach().to("cpu", copy=True)
        case Mapping():
            return {str(key): copied(value) for key, value in state.items()}
        case list() | tuple():
            return [copied(value) for value in state]
        case _:
            return state


def load_optimizer(optimizer: torch.optim.Optimizer, values: Mapping[str, Any]) -> None:
    """Give a new optimiser the state, by the parameters' numbers, of one of the same options."""
    groups = optimizer.state_dict()["param_groups"]
    state = {int(number): one for number, one in values.items()}
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def read_record(fields: Mapping[str, Any]) -> EpochRecord:
    """Return the record that `asdict` made fields of, after a way through JSON."""
    widths = tuple(int(width) for width in fields["widths"])
    return EpochRecord(**{**fields, "widths": widths, "phase": Phase(fields["phase"])})
