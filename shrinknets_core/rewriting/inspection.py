"""Can a module's forward pass be recorded? What its code says before anything runs."""

import dis
import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

UNRECORDABLE = frozenset({
    "checkpoint", "saved_tensors_hooks", "is_grad_enabled", "is_autocast_enabled", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "random", "randrange", "uniform", "choice", "time",
    "perf_counter", "monotonic",
})  # fmt: skip
"""Names that say: what the code does depends on more than its inputs, or is more than it returns."""
SIMPLE = (bool, str, type(None))


def is_candidate(module: nn.Module) -> bool:
    """Tell whether a module's forward pass is its own code, which might hold sizes."""
    if "forward" in vars(module) or isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return False
    if type(module) is nn.Unflatten:
        return True
    forward = inspect.unwrap(type(module).forward)
    return isinstance(forward, FunctionType) and not _is_library(forward.__module__ or "")


def find_obstacle(module: nn.Module) -> str | None:
    """Return why a module's forward pass can't be recorded, as far as its code tells."""
    for code in _codes(module):
        if found := UNRECORDABLE.intersection(code.co_names):
            return f"its code uses {min(found)}"
        if _reads_others_mode(code):
            return "its code asks whether another module is in training"
    return None


def settings(module: nn.Module) -> dict[str, Any]:
    """Return the module's own flags, by name, that its code may read."""
    names = {name for code in _codes(module) for name in code.co_names} - {"training"}
    values = vars(module)
    return {name: values[name] for name in sorted(names)
            if name in values and isinstance(values[name], SIMPLE)}  # fmt: skip


def _is_library(name: str) -> bool:
    return name == "torch" or name.startswith("torch.")


def _codes(module: nn.Module) -> Iterator[CodeType]:
    """Return the code of all methods of the module's classes, and of functions that they name."""
    pending: list[Any] = []
    for cls in type(module).__mro__:
        if not _is_library(cls.__module__) and cls is not object:
            pending.extend(vars(cls).values())
    seen: set[CodeType] = set()
    while pending:
        function = _function(pending.pop())
        if function is None or function.__code__ in seen or _is_library(function.__module__ or ""):
            continue
        nested = _nested(function.__code__)
        seen.update(nested)
        yield from nested
        for code in nested:
            pending.extend(function.__globals__.get(name) for name in code.co_names)


def _function(value: Any) -> FunctionType | None:
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    value = inspect.unwrap(value) if isinstance(value, Callable) else value  # type: ignore[arg-type]
    return value if isinstance(value, FunctionType) else None


def _nested(code: CodeType) -> list[CodeType]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return [code, *(deeper for one in inner for deeper in _nested(one))]


def _reads_others_mode(code: CodeType) -> bool:
    before = None
    for instruction in dis.get_instructions(code):
        if instruction.opname in {"LOAD_ATTR", "LOAD_METHOD"} and instruction.argval == "training":
            if before is None or not before.opname.startswith("LOAD_FAST") or (
                before.argval != "self"
            ):  # fmt: skip
                return True
        before = instruction
    return False
