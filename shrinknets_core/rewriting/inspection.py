"""Can a module's forward pass be recorded? What its code says before anything runs."""

import dis
import inspect
import itertools
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

UNRECORDABLE = frozenset({
    "checkpoint", "saved_tensors_hooks", "inference_mode", "autocast", "is_grad_enabled",
    "is_autocast_enabled", "get_autocast_dtype", "is_compiling", "is_dynamo_compiling",
    "is_exporting", "random", "randrange", "uniform", "choice", "time", "perf_counter",
    "monotonic",
})  # fmt: skip
"""Names that say: what the code does depends on more than its inputs."""
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
    """Return flags, by name, that its code may read: the module's own and its children's.

    Numbers are among them only for the children: the module's own are read as it runs.
    """
    codes = list(_codes(module))
    names = {name for code in codes for name in code.co_names} - {"training"}
    own, children = vars(module), dict(module.named_children())
    found = {name: own[name] for name in names if isinstance(own.get(name, ...), SIMPLE)}
    for code in codes:
        for child, name in _read_from_children(code):
            values = vars(children.get(child, object))
            if isinstance(values.get(name, ...), (*SIMPLE, float)):
                found[f"{child}.{name}"] = values[name]
    return dict(sorted(found.items()))


def _is_library(name: str) -> bool:
    return name == "torch" or name.startswith("torch.")


def _codes(module: nn.Module) -> Iterator[CodeType]:
    """Return the code of a module's forward, and of all methods and functions that it names."""
    pending: list[Any] = [type(module).forward]
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
            pending.extend(
                inspect.getattr_static(type(module), name, None) for name in code.co_names
            )


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


def _read_from_children(code: CodeType) -> Iterator[tuple[str, str]]:
    """Return all pairs of names in expressions such as `self.drop.p`."""
    instructions = list(dis.get_instructions(code))
    for one, two, three in zip(instructions, instructions[1:], instructions[2:], strict=False):
        if one.argval == "self" and two.opname == three.opname == "LOAD_ATTR":
            yield two.argval, three.argval


def _reads_others_mode(code: CodeType) -> bool:
    return any(
        after.opname == "LOAD_ATTR"
        and after.argval == "training"
        and not (before.opname.startswith("LOAD_FAST") and before.argval == "self")
        for before, after in itertools.pairwise(dis.get_instructions(code))
    )
