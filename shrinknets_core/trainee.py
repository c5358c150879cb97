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
        self._born = {name for name, _ in module.named_parameters()}
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
        living, gone = self.shrinker.method.count().axes, self._gone()
        return tuple(
            0 if layer in gone else living.get((f"{layer.path}.weight", 0), full)
            for layer, full in zip(self.layers, self.full_widths, strict=True)
        )

    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Return the original numbers of the features of each layer that are physically there."""
        gone = self._gone()
        result = [
            () if layer in gone else tuple(range(width))
            for layer, width in zip(self.layers, self.full_widths, strict=True)
        ]
        for group in [] if self.shrinker is None else self.shrinker.groups:
            ids = group.filter.feature_ids.cpu()
            for slot in group.slots:
                for number, layer in enumerate(self.layers):
                    if (slot.tensor, slot.axis) == (f"{layer.path}.weight", 0):
                        result[number] = tuple(ids[slot.index].tolist())
        return tuple(result)

    def _gone(self) -> set[Layer]:
        """Find the layers that went as a whole, with the branch that they are in."""
        there = {name for name, _ in self.module.named_parameters()}
        return {layer for layer in self.layers if f"{layer.path}.weight" in self._born - there}

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
        state = self._folded()
        with torch.device("meta"):
            network = self.family.build(self._input_shape, widths, self._num_classes)
        if _is_all_in_its_state(network):
            network.load_state_dict(state, assign=True)
        else:
            device = next(iter(state.values())).device
            with torch.random.fork_rng(devices=[]), torch.device(device):
                network = self.family.build(self._input_shape, widths, self._num_classes)
            network.load_state_dict(state)
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

    def _folded(self) -> dict[str, Tensor]:
        """Copy all tensors, gates folded, under all names that they go by."""
        assert self.shrinker is not None
        tensors = self.shrinker.folded()
        there = self.module.state_dict(keep_vars=True)
        names = {id(tensor): name for name, tensor in there.items() if name in tensors}
        twins = {name: names[id(t)] for name, t in there.items() if id(t) in names}
        return {name: tensors[twin].clone() for name, twin in twins.items()}


def _example_of(split: Split, module: nn.Module) -> Tensor:
    """Two rows on the module's device, on which the data need not be."""
    device = next(module.parameters()).device
    return split.train.x[: min(2, len(split.train))].to(device)


def _is_all_in_its_state(network: nn.Module) -> bool:
    """Tell whether a state can be put into a network without changing what it shares or hides."""
    named = [name for name, _ in network.named_parameters(remove_duplicate=False)]
    shares = len(named) > len(list(network.parameters()))
    return not shares and len(network.state_dict()) == len(named) + len(list(network.buffers()))
