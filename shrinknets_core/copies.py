"""Copies of a model, such as running averages of its weights, that lose what the model loses."""

import copy
import weakref
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from shrinknets_core.errors import OptionError
from shrinknets_core.filters import Filter
from shrinknets_core.flow.tracing import stored_tensors
from shrinknets_core.gating import Gating
from shrinknets_core.surgery import Cuts, Operation


class Copies:
    """All copies that follow one model, held weakly.

    Each keeps its parameters' identities. Its modules below the first become copies of the model's
    at each collection: hooks put on them meanwhile are lost.
    """

    def __init__(self) -> None:
        self._copies: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def add(self, model: nn.Module, twin: nn.Module) -> None:
        """Let a copy of a gated model follow it from now on.

        Raises:
            OptionError: its tensors have other names or shapes.
        """
        expected = {name: tuple(tensor.shape) for name, tensor in stored_tensors(model).items()}
        found = {name: tuple(tensor.shape) for name, tensor in stored_tensors(twin).items()}
        if different := sorted(dict(expected.items() ^ found.items())):
            raise OptionError(
                "copy",
                expected="a copy of the model with its gates, such as copy.deepcopy(model)",
                got=f"a {type(twin).__name__} that differs in {', '.join(different[:3])}",
            )
        self._copies.add(twin)

    def plan(self, operation: Operation, model: nn.Module, cuts_of: Mapping[int, Cuts]) -> None:
        """Cut the copies' tensors like the model's; cuts_of: by the model's tensors' identity."""
        if not self._copies:
            return
        cuts = {name: cuts_of.get(id(tensor)) for name, tensor in stored_tensors(model).items()}
        for twin in self._copies:
            tensors = {id(tensor): (name, tensor) for name, tensor in stored_tensors(twin).items()}
            for name, tensor in tensors.values():
                if (cut := cuts.get(name)) is not None:
                    operation.plan(tensor, cut)

    def renew(self, model: nn.Module) -> None:
        """Give the copies the model's code and hooks as they are now, in place."""
        for twin in self._copies:
            _renew(twin, model)

    def fold(self, gating: Gating) -> None:
        """Multiply each copy's gates into its tensors, in place; its hooks go with `renew`."""
        for twin in self._copies:
            tensors = stored_tensors(twin)
            for name, tensor in gating.folded(twin).items():
                tensors[name].data = tensor


def _renew(twin: nn.Module, model: nn.Module) -> None:
    values = {_key(twin, name): tensor for name, tensor in stored_tensors(twin).items()}
    fresh, training = copy.deepcopy(model), twin.training
    for name, tensor in stored_tensors(fresh).items():
        value = values.get(_key(fresh, name))
        owner, _, attribute = name.rpartition(".")
        module = fresh.get_submodule(owner)
        # What this library notes in buffers of its own, the model knows better.
        if value is not None and value.shape == tensor.shape:
            _put(module, attribute, value)
    vars(twin).clear()
    vars(twin).update(vars(fresh))
    twin.train(training)


def _put(module: nn.Module, name: str, value: Tensor) -> None:
    tables: list[dict[str, Any]] = [module._parameters, module._buffers, vars(module)]
    for table in tables:
        if name in table:
            table[name] = value


def _key(model: nn.Module, name: str) -> str:
    """Return a tensor's name; a filter's without its home, which may be another one later."""
    owner, _, attribute = name.rpartition(".")
    if isinstance(model.get_submodule(owner), Filter):
        return f"{owner.rpartition('.')[2]}.{attribute}"
    return name
