"""Lets a recorder see all that a forward pass does with torch and with other modules."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from unittest import mock

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from shrinknets_core.rewriting.tracked import RewritingError, Tracked, find_tracked

FACTORIES = ("zeros", "ones", "empty", "rand", "randn")
"""They take sizes one by one, and their first as a plain number only."""


class Watcher(Protocol):
    """What is told of torch's functions and modules' calls."""

    busy: int

    def torch_call(self, function: Any, args: Any, kwargs: Any) -> Any: ...
    def module_call(self, module: nn.Module, call: Any, args: Any, kwargs: Any) -> Any: ...
    def lift(self, tensor: Any) -> Tracked: ...
    def size(self, tracked: Tracked, dim: int) -> Tracked: ...


@contextlib.contextmanager
def watching(watcher: Watcher, module: nn.Module) -> Iterator[None]:
    """Send what a module's own code calls to a watcher, unless that is busy.

    Raises:
        RewritingError: the code left something behind in the module, which is taken back.
    """
    with contextlib.ExitStack() as stack:
        for patch in _patches(watcher, module):
            stack.enter_context(patch)
        before, inside = _State(module), [(m, dict(vars(m))) for m in module.modules()][1:]
        stack.callback(before.restore)
        stack.callback(_take_back, inside)
        stack.enter_context(_Functions(watcher))
        yield
        before.check()
        if _take_back(inside):
            raise RewritingError("keeps something in a part of it")


class _Functions(TorchFunctionMode):
    def __init__(self, watcher: Watcher) -> None:
        super().__init__()
        self.watcher = watcher

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if self.watcher.busy:
            return func(*args, **(kwargs or {}))
        return self.watcher.torch_call(func, args, kwargs or {})


def _patches(watcher: Watcher, module: nn.Module) -> Iterator[Any]:
    call, get = nn.Module.__call__, nn.Module.__getattr__

    def call_module(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if watcher.busy:
            return call(self, *args, **kwargs)
        return watcher.module_call(self, call, args, kwargs)

    def get_attribute(self: nn.Module, name: str) -> Any:
        value = get(self, name)
        return value if watcher.busy or not isinstance(value, Tensor) else watcher.lift(value)

    yield mock.patch.object(nn.Module, "__call__", call_module)
    yield mock.patch.object(nn.Module, "__getattr__", get_attribute)
    yield mock.patch.object(
        torch.autograd.Function, "apply", _refusing(watcher, torch.autograd.Function.apply)
    )
    for name in FACTORIES:
        yield mock.patch.object(torch, name, _gathering(getattr(torch, name)))
    for scope in {id(s): s for s in _scopes(module)}.values():
        if "len" not in scope:
            yield mock.patch.dict(scope, {"len": _length(watcher)})


def _refusing(watcher: Watcher, function: Any) -> Any:
    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        if not watcher.busy and any(True for _ in find_tracked((args, kwargs))):
            raise RewritingError("calls a function with a gradient of its own")
        return function.__func__(cls, *args, **kwargs)

    return classmethod(apply)


def _gathering(function: Any) -> Any:
    def make(*args: Any, **kwargs: Any) -> Any:
        separate = bool(args) and all(isinstance(arg, int) for arg in args)
        return function(tuple(args), **kwargs) if separate else function(*args, **kwargs)

    return make


def _length(watcher: Watcher) -> Callable[[Any], Any]:
    def length(value: Any) -> Any:
        tensor = type(value) is Tracked and isinstance(value.value, Tensor)
        return watcher.size(value, 0) if tensor else len(value)

    return length


def _scopes(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Return the global names of the files that hold the module's classes."""
    for cls in type(module).__mro__:
        if cls is nn.Module:
            return
        if cls.__module__ in sys.modules and not cls.__module__.startswith("torch."):
            yield vars(sys.modules[cls.__module__])


def _take_back(parts: Sequence[tuple[nn.Module, dict[str, Any]]]) -> bool:
    """Remove tracked values from modules' attributes; tells whether there were any."""
    found = False
    for module, before in parts:
        state = vars(module)
        for name in [n for n, value in state.items() if any(True for _ in find_tracked(value))]:
            found = True
            del state[name]
            if name in before:
                state[name] = before[name]
    return found


class _State:
    """What a module's attributes are, and what its own containers hold."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._values = dict(vars(module))
        self._parts = {
            name: value.copy()
            for name, value in self._values.items()
            if isinstance(value, (dict, list, set))
        }

    def check(self) -> None:
        """Raise an error if something has changed."""
        now = vars(self._module)
        same = now.keys() == self._values.keys()
        same = same and all(now[name] is value for name, value in self._values.items())
        if not same or not all(_alike(now[name], parts) for name, parts in self._parts.items()):
            raise RewritingError("keeps something from one call to the next")

    def restore(self) -> None:
        """Put everything back."""
        state = vars(self._module)
        for name in set(state) - set(self._values):
            del state[name]
        state.update(self._values)
        for name, parts in self._parts.items():
            container = state[name]
            if not _alike(container, parts):
                container.clear()
                container.extend(parts) if isinstance(parts, list) else container.update(parts)


def _alike(a: Any, b: Any) -> bool:
    if len(a) != len(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(a[key] is b[key] for key in a)
    if isinstance(a, set):
        return bool(a == b)
    return all(x is y for x, y in zip(a, b, strict=True))
