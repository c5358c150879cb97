"""Gates in a plain module: hooks multiply what layers compute, or the tensors they compute with."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from shrinknets_core.feature_groups import Group, Slot
from shrinknets_core.filters import Filter
from shrinknets_core.flow.graph import first_names
from shrinknets_core.flow.tracing import Trace, stored_tensors


class Factor:
    """The gates along one axis of a tensor, one for each of its entries."""

    def __init__(self, filter_: Filter, index: Tensor) -> None:
        self.filter = filter_
        size = filter_.num_features
        plain = len(index) == size and torch.equal(index, torch.arange(size))
        # Entries without a feature look up the 1 that is put before the gates.
        self.index = None if plain else (index + 1).to(filter_.theta.device)

    def __call__(self) -> Tensor:
        """Return the gates, (entries,)."""
        # Not relu: at exactly 0 a clamp passes the one-sided derivative, which a gate needs to
        # get back.
        gates = self.filter.theta.clamp_min(0)
        if self.index is None:
            return gates
        one = gates.new_ones(1)
        if self.index.device != gates.device:
            self.index = self.index.to(gates.device)
        return torch.cat([one, gates]).index_select(0, self.index)


def product(factors: Sequence[Factor]) -> Tensor:
    """Multiply the gates of several filters along one axis."""
    result = factors[0]()
    for factor in factors[1:]:
        result = result * factor()
    return result


@dataclass(eq=False)
class Shadow:
    """A stored tensor that its module sees multiplied by gates while a forward pass runs."""

    owner: nn.Module
    attribute: str
    factors: dict[int, list[Factor]]

    def scaled(self) -> Tensor:
        """Return the tensor times its gates."""
        tensor = getattr(self.owner, self.attribute)
        for axis, factors in self.factors.items():
            shape = [1] * tensor.dim()
            shape[axis] = -1
            tensor = tensor * product(factors).view(shape)
        return tensor  # type: ignore[no-any-return]


class ShadowGate:
    """Puts shadows before a module's forward pass, and takes them away after it.

    An attribute in a module's `__dict__` hides the parameter of that name: names, identities and
    the state dict stay as they are.
    """

    def __init__(self, shadows: list[Shadow]) -> None:
        self.shadows = shadows

    def before(self, module: nn.Module, args: Any) -> None:
        """Hide the tensors behind scaled ones."""
        scaled = [shadow.scaled() for shadow in self.shadows]
        for shadow, tensor in zip(self.shadows, scaled, strict=True):
            shadow.owner.__dict__[shadow.attribute] = tensor
            if isinstance(shadow.owner, nn.RNNBase):
                _swap_flat_weight(shadow.owner, shadow.attribute, tensor)

    def after(self, module: nn.Module, args: Any, output: Any) -> None:
        """Show the tensors again."""
        for shadow in self.shadows:
            if shadow.owner.__dict__.pop(shadow.attribute, None) is not None and isinstance(
                shadow.owner, nn.RNNBase
            ):
                stored = getattr(shadow.owner, shadow.attribute)
                _swap_flat_weight(shadow.owner, shadow.attribute, stored)


def _swap_flat_weight(module: nn.RNNBase, name: str, tensor: Tensor) -> None:
    """Recurrent layers read their weights from a list of their own."""
    position = module._flat_weights_names.index(name)
    module.__dict__["_flat_weights"] = [
        tensor if i == position else w for i, w in enumerate(module._flat_weights)
    ]


class OutputGate:
    """Multiplies a linear layer's output: the same as its rows and bias, and cheaper."""

    def __init__(self, factors: list[Factor]) -> None:
        self.factors = factors

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        # Under autocast the output has another type than the gates, and keeps it.
        return output * product(self.factors).to(output.dtype)


class InputGate:
    """Multiplies a linear layer's input: the same as its columns, and cheaper."""

    def __init__(self, factors: list[Factor]) -> None:
        self.factors = factors

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0] * product(self.factors).to(args[0].dtype), *args[1:])


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


def find_windows(traces: Sequence[Trace]) -> dict[str, str]:
    """Return for each stored tensor the innermost module during whose forward pass it is read.

    That is the last one that all uses are called through and that owns the tensor, directly or not:
    a module may read its own tensors and hand them on.
    """
    stacks: dict[str, list[list[str]]] = {}
    for trace in traces:
        for node in trace.graph.nodes:
            if node.op == "placeholder" and node.name in trace.stored:
                uses = stacks.setdefault(trace.stored[node.name], [])
                uses.extend(_stack(user) for user in node.users)
    return {name: _window(name, found) for name, found in stacks.items()}


def _stack(node: Any) -> list[str]:
    stack = node.meta.get("nn_module_stack") or {}
    return [path.partition("@")[0] for path, _ in stack.values()]


def _window(name: str, stacks: list[list[str]]) -> str:
    window = ""
    for level in zip(*stacks, strict=False):
        if len(set(level)) > 1:
            break
        if name.startswith(f"{level[0]}."):
            window = level[0]
    return window


def _free_name(module: nn.Module, number: int) -> str:
    name = f"filter_{number}"
    while hasattr(module, name):
        name = f"{name}_"
    return name


__all__ = ["Factor", "Gating", "Slot", "find_windows", "product"]
