"""A network of a family in training: its module, its widths and, while it shrinks, its gates."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shrinknets_core.data import Split
from shrinknets_core.families import Family, Layer
from shrinknets_core.method import ShrinkOptions
from shrinknets_core.shrinker import Shrinker
from shrinknets_core.sizes import Size


class Trainee:
    """A module whose widths are known by name.

    Attributes:
        module: the network, with gates while a shrinker is there; trained in place.
        shrinker: None where nothing is removed.
        full_widths: what the module was built with.

    Args:
        family: how the module was built.
        module: a network of that family.
        split: whose shapes and classes it was built for.
        widths: what it was built with.
        shrink: how to shrink it; None to leave it as it is.
    """

    def __init__(
        self,
        family: Family,
        module: nn.Module,
        split: Split,
        widths: Sequence[int],
        *,
        shrink: ShrinkOptions | None = None,
    ) -> None:
        self.family = family
        self.module = module
        self.full_widths = tuple(widths)
        self._input_shape = split.input_shape
        self._num_classes = split.num_classes
        self.shrinker = (
            None if shrink is None else Shrinker(module, _example_of(split, module), options=shrink)
        )

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layer of each width, input side first; a branch of width 0 is not there."""
        return self.family.layers_of(len(self.full_widths))

    def widths(self) -> tuple[int, ...]:
        """Count the living features of each layer; waits for the device once."""
        if self.shrinker is None:
            return self.full_widths
        living = self.shrinker.method.count().axes
        return tuple(
            living.get((f"{layer.path}.weight", 0), full)
            for layer, full in zip(self.layers, self.full_widths, strict=True)
        )

    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Return the original numbers of the features of each layer that are physically there."""
        result = [tuple(range(width)) for width in self.full_widths]
        for group in [] if self.shrinker is None else self.shrinker.groups:
            ids = group.filter.feature_ids.cpu()
            for slot in group.slots:
                for number, layer in enumerate(self.layers):
                    if (slot.tensor, slot.axis) == (f"{layer.path}.weight", 0):
                        result[number] = tuple(ids[slot.index].tolist())
        return tuple(result)

    def size(self, widths: Sequence[int]) -> Size:
        """Count what a network of these widths would have."""
        return self.family.size(self._input_shape, widths, self._num_classes)

    @torch.no_grad()
    def plain(self) -> nn.Module:
        """Return a network without gates that computes the same; shares nothing with this one.

        Gates go into the weights that they multiply. Dead features must have been collected.
        """
        if self.shrinker is None:
            return copy.deepcopy(self.module)
        widths = [len(ids) for ids in self.kept()]
        tensors = self.shrinker.folded()
        with torch.device("meta"):
            network = self.family.build(self._input_shape, widths, self._num_classes)
        state = {name: tensors[name].clone() for name in network.state_dict()}
        network.load_state_dict(state, assign=True)
        return network.requires_grad_().train(self.module.training)

    def rebuild(self, widths: Sequence[int], tensors: Mapping[str, Tensor]) -> nn.Module:
        """Return a plain network of these widths, on this one's device, with copies of tensors.

        Raises:
            RuntimeError: the tensors are not those of such a network.
        """
        with torch.random.fork_rng(devices=[]):
            network = self.family.build(self._input_shape, widths, self._num_classes)
        network.load_state_dict(dict(tensors))
        first = next(iter(self.module.parameters()))
        return network.to(device=first.device, dtype=first.dtype)

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors, and what was removed; references, not copies."""
        shrinker = None if self.shrinker is None else self.shrinker.state_dict()
        return {"module": self.module.state_dict(), "shrinker": shrinker}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the shapes and values of a state, in place; nothing may be removed yet.

        Optimisers must be made afterwards, as parameters of dead branches are gone.
        """
        if self.shrinker is not None:
            self.shrinker.load_state_dict(state["shrinker"])
        self.module.load_state_dict(state["module"])


def _example_of(split: Split, module: nn.Module) -> Tensor:
    """Two rows on the module's device, on which the data need not be."""
    device = next(module.parameters()).device
    return split.train.x[: min(2, len(split.train))].to(device)
