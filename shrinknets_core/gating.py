"""Gates in a plain module: which hooks go where, and the gates folded into the tensors."""

from collections.abc import Container, Iterable
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from shrinknets_core.feature_groups import Group
from shrinknets_core.filters import Filter
from shrinknets_core.flow.graph import first_names
from shrinknets_core.flow.tracing import stored_tensors
from shrinknets_core.gates import Factor, InputGate, OutputGate, Shadow, ShadowGate, product

Factors = dict[tuple[str, int], list[Factor]]
"""For each gated tensor and axis the gates along it."""


class Gating:
    """All hooks that gate one model.

    Args:
        model: what is gated.
        groups: whose features.
        windows: for each gated tensor the module whose forward pass sees all of its uses.
    """

    def __init__(self, model: nn.Module, groups: Iterable[Group], windows: dict[str, str]) -> None:
        self._model = model
        self._groups = list(groups)
        # Of a number of its own, each filter keeps its name while others go.
        self._numbers = {group: number for number, group in enumerate(self._groups)}
        self._windows = windows
        self._aliases = _aliases(model)
        self._handles: list[RemovableHandle] = []
        self._homes: list[tuple[nn.Module, str]] = []
        self.register(self._groups)

    def register(self, groups: Iterable[Group]) -> None:
        """Make each filter a part of a layer that it gates, so that it moves and saves with it."""
        self._groups = list(groups)
        self._aliases = _aliases(self._model)
        for group in self._groups:
            tensor = group.gated[0].tensor if group.gated else group.slots[0].tensor
            path = tensor.rpartition(".")[0]
            module = self._model.get_submodule(path)
            if isinstance(module, (nn.Sequential, nn.ModuleList, nn.ParameterList)):
                module = self._model.get_submodule(self._windows.get(tensor, ""))
            name = _free_name(module, self._numbers[group])
            module.add_module(name, group.filter)
            self._homes.append((module, name))
        self.install()

    def unregister(self) -> None:
        """Take all hooks and filters out of the model."""
        self.remove_hooks()
        for module, name in self._homes:
            delattr(module, name)
        self._homes.clear()

    def drop(self, group: Group) -> None:
        """Stop gating one group, and take its filter out of the model."""
        number = self._groups.index(group)
        del self._groups[number]
        module, name = self._homes.pop(number)
        delattr(module, name)
        self.install()

    def factors(self, copy: nn.Module | None = None) -> Factors:
        """Return the gates along each gated axis, of the model or of a copy of it."""
        filters = {group: group.filter for group in self._groups}
        if copy is not None:
            paths = {module: path for path, module in self._model.named_modules()}
            modules = {g: copy.get_submodule(paths[own]) for g, own in filters.items()}
            filters = cast("dict[Group, Filter]", modules)
        result: Factors = {}
        for group in self._groups:
            for slot in group.gated:
                factor = Factor(filters[group], slot.index)
                result.setdefault((slot.tensor, slot.axis), []).append(factor)
        return result

    def install(self, *, without: Container[str] = ()) -> None:
        """Put the hooks in place, after removing those that are there.

        without: tensors to leave ungated.
        """
        self.remove_hooks()
        shadows: dict[str, dict[str, dict[int, list[Factor]]]] = {}
        factors = {key: found for key, found in self.factors().items() if key[0] not in without}
        for name, layer in self._linears(factors).items():
            rows = factors.pop((f"{name}.weight", 0), None)
            factors.pop((f"{name}.bias", 0), None)
            if rows is not None:
                self._handles.append(layer.register_forward_hook(OutputGate(rows)))
            columns = factors.pop((f"{name}.weight", 1), None)
            if columns is not None:
                self._handles.append(layer.register_forward_pre_hook(InputGate(columns)))
        for (tensor, axis), found in factors.items():
            window = shadows.setdefault(self._windows.get(tensor, ""), {})
            window.setdefault(tensor, {})[axis] = found
        for path, tensors in shadows.items():
            self._shade(path, tensors)

    def _shade(self, path: str, tensors: dict[str, dict[int, list[Factor]]]) -> None:
        module = self._model.get_submodule(path)
        parts = []
        for name, factors in tensors.items():
            for alias in self._aliases[name]:
                owner, _, attribute = alias.rpartition(".")
                parts.append(Shadow(self._model.get_submodule(owner), attribute, factors))
        gate = ShadowGate(parts)
        self._handles.append(module.register_forward_pre_hook(gate.before, prepend=True))
        self._handles.append(module.register_forward_hook(gate.after, always_call=True))

    def _linears(self, factors: Factors) -> dict[str, nn.Linear]:
        """Find linear layers whose gates can act on their input and output instead."""
        result = {}
        for name in {tensor.rpartition(".")[0] for tensor, _ in factors}:
            layer = self._model.get_submodule(name)
            if type(layer) is not nn.Linear or self._windows.get(f"{name}.weight") != name:
                continue
            rows = factors.get((f"{name}.weight", 0), [])
            bias = factors.get((f"{name}.bias", 0), [])
            if layer.bias is None or [id(f.filter) for f in rows] == [id(f.filter) for f in bias]:
                result[name] = layer
        return result

    @torch.no_grad()
    def folded(self, copy: nn.Module | None = None) -> dict[str, Tensor]:
        """Return the gated tensors by name, multiplied by their gates; changes nothing.

        copy: a copy of the model with its gates, whose tensors and gates to take instead.
        """
        tensors = stored_tensors(self._model if copy is None else copy)
        scaled: dict[str, Tensor] = {}
        for (name, axis), factors in self.factors(copy).items():
            tensor = scaled.get(name, tensors[name].data)
            shape = [1] * tensor.dim()
            shape[axis] = -1
            scaled[name] = tensor * product(factors).view(shape).to(tensor)
        return scaled

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply all gates into the tensors, and leave the model without hooks and filters."""
        tensors = stored_tensors(self._model)
        for name, tensor in self.folded().items():
            tensors[name].data = tensor
        self.unregister()

    def remove_hooks(self) -> None:
        """Stop gating."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


def _aliases(model: nn.Module) -> dict[str, list[str]]:
    """Return all names of each tensor, by its first one."""
    tensors = stored_tensors(model)
    names = first_names(tensors)
    result: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        result.setdefault(names[id(tensor)], []).append(name)
    return result


def _free_name(module: nn.Module, number: int) -> str:
    name = f"filter_{number}"
    while hasattr(module, name):
        name = f"{name}_"
    return name
