"""Finding the optimisers that train a model, so that a collection can cut their state."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook


class Optimizers:
    """The optimisers that have taken a step with any of some parameters, held weakly.

    One hook sees the steps of all optimisers in the process; it goes with this object.

    Args:
        parameters: whose optimisers to find.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self._wanted = {id(parameter) for parameter in parameters}
        self._seen: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        self._found: weakref.WeakSet[torch.optim.Optimizer] = weakref.WeakSet()
        handle = register_optimizer_step_post_hook(_noting(weakref.ref(self)))
        self._close = weakref.finalize(self, handle.remove)

    def found(self) -> list[torch.optim.Optimizer]:
        """Return those that have taken a step since this object was made."""
        return list(self._found)

    def close(self) -> None:
        """Stop looking."""
        self._close()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Optimizers":
        return Optimizers(())

    def note(self, optimizer: torch.optim.Optimizer) -> None:
        """Look at an optimiser that took a step."""
        if optimizer in self._seen:
            return
        self._seen.add(optimizer)
        held = (id(p) for group in optimizer.param_groups for p in group["params"])
        if any(identity in self._wanted for identity in held):
            self._found.add(optimizer)


def _noting(owner: "weakref.ref[Optimizers]") -> Callable[[torch.optim.Optimizer, Any, Any], None]:
    def hook(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
        optimizers = owner()
        if optimizers is not None:
            optimizers.note(optimizer)

    return hook
