"""Modules that go on to run at full width when the features around them are removed."""

import torch
from torch import Tensor, nn

BUFFER = "kept_features"
"""The name under which a wide module notes which features are left."""


class WideForward:
    """Stands in for a module's forward: spreads the input out, runs it, and picks what is left.

    The module's own tensors stay at full width, and so do all numbers that it divides by.
    """

    def __init__(self, module: nn.Module, axis: int, size: int) -> None:
        self.module, self.axis, self.size = module, axis, size

    def __call__(self, x: Tensor) -> Tensor:
        kept = getattr(self.module, BUFFER)
        shape = list(x.shape)
        shape[self.axis] = self.size
        full = x.new_zeros(shape).index_copy(self.axis, kept, x)
        result: Tensor = type(self.module).forward(self.module, full)
        return result.index_select(self.axis, kept)


class Widening:
    """All wide modules of a model.

    Args:
        model: the gated module.
        wide: for each wide module, by name, the axis of its features and their number.
    """

    def __init__(self, model: nn.Module, wide: dict[str, tuple[int, int]]) -> None:
        self._modules = {path: (model.get_submodule(path), *sizes) for path, sizes in wide.items()}
        self._kept = {path: torch.arange(size) for path, (_, size) in wide.items()}

    def cut(self, cuts: dict[str, Tensor]) -> dict[str, Tensor]:
        """Follow a collection; cuts: for each wide module, which of its features stay.

        Returns what was kept before.
        """
        before = dict(self._kept)
        self.put({path: self._kept[path][cuts[path]] for path in self._kept if path in cuts})
        return before

    def put(self, kept: dict[str, Tensor]) -> None:
        """Let wide modules keep these of their original features."""
        for path, indices in kept.items():
            module, axis, size = self._modules[path]
            self._kept[path] = indices
            if len(indices) == size:
                module.__dict__.pop("forward", None)
                module._buffers.pop(BUFFER, None)
                continue
            device = next((t.device for t in module.parameters()), torch.device("cpu"))
            module.register_buffer(BUFFER, indices.to(device))
            module.__dict__["forward"] = WideForward(module, axis, size)
