"""Turns recorded graphs into code."""

import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import fx
from torch.fx.graph_module import _format_import_block
from torch.package.importer import sys_importer

from shrinknets_core.rewriting.forwards import Size
from shrinknets_core.rewriting.inspection import settings
from shrinknets_core.rewriting.planning import Key, Plan
from shrinknets_core.rewriting.recorder import Recorder
from shrinknets_core.rewriting.slots import dim_of_cut, set_at
from shrinknets_core.rewriting.tracked import RewritingError

LITERALS = (bool, int, float, str, type(None), torch.dtype)


def write_forward(
    recorders: Mapping[bool, Recorder],
    plans: Mapping[bool, Plan],
    numbers: Mapping[bool, Mapping[Key, int]],
) -> str:
    """Return the code of a forward pass in evaluation (False) and training (True).

    numbers: for each argument that counts features, the number of the size that goes there.

    Raises:
        RewritingError: something in it can't be written down.
    """
    bodies, imports = {}, set()
    for training, recorder in recorders.items():
        graph = _changed_graph(recorder, plans[training], numbers[training])
        code = graph.python_code("self")
        bodies[training] = body_of(code.src)
        imports |= imports_of(code.globals, bodies[training])
    first = next(iter(recorders.values()))
    lines = [*sorted(imports), "", "", f"def forward({_signature(first)}):"]
    lines += _check_settings(first)
    if len(recorders) == 1:
        mode = next(iter(recorders))
        lines.append(f"    if self.training is not {mode}:")
        lines.append(f'        raise ValueError("rewritten for self.training = {mode} only")')
    if len(set(bodies.values())) == 1:
        return "\n".join([*lines, bodies[False] if False in bodies else bodies[True]]) + "\n"
    indented = re.sub(r"(?m)^(?=.)", "    ", bodies[True])
    return "\n".join([*lines, "    if self.training:", indented, bodies[False]]) + "\n"


def _changed_graph(recorder: Recorder, plan: Plan, numbers: Mapping[Key, int]) -> fx.Graph:
    """Copy what is needed of a graph, with the plan's changes."""
    counts: dict[str, dict[Any, Any]] = {}
    for (name, path), labels in plan.counts.items():
        size = Size(len(labels), numbers[name, path])
        counts.setdefault(name, {})[path] = size
    for (name, path), value in plan.constants.items():
        counts.setdefault(name, {})[path] = value
    calls: dict[fx.Node, tuple[str, Any]] = {}
    arguments: dict[fx.Node, tuple[Any, Any]] = {}
    for node in recorder.graph.nodes:
        changes = counts.get(node.name, {})
        tree: Any = {"args": node.args, "kwargs": dict(node.kwargs)}
        calls[node] = (node.op, node.target)
        if _lists_pieces(node, changes):
            calls[node] = ("call_method", "split")
            tree = {"args": (node.args[0], [0] * len(changes), dim_of_cut(node)), "kwargs": {}}
        for path, value in changes.items():
            tree = set_at(tree, path, value)
        arguments[node] = (tree["args"], tree["kwargs"])
    live = _live(recorder, arguments, plan.dropped)
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in recorder.graph.nodes:
        if node in live:
            args, kwargs = fx.node.map_arg(arguments[node], lambda n: copies[n])
            copies[node] = graph.create_node(*calls[node], args, kwargs, name=node.name)
    return graph


def _lists_pieces(node: fx.Node, changes: Mapping[Any, Any]) -> bool:
    """Tell whether a call that says how many pieces it wants must list their sizes instead."""
    inside = [path for path in changes if path[:2] == ("args", 1) and len(path) > 2]
    return bool(inside) and isinstance(node.args[1], int)


def _live(
    recorder: Recorder, arguments: Mapping[fx.Node, tuple[Any, Any]], dropped: set[str]
) -> set[fx.Node]:
    """Return the nodes that compute the result, or do something else that counts."""
    live: set[fx.Node] = set()
    for node in reversed(recorder.graph.nodes):
        if node in live or (node not in recorder.pure and node.name not in dropped):
            live.add(node)
            fx.node.map_arg(arguments[node], live.add)
    return live


def body_of(source: str) -> str:
    """Return the lines below the function's head."""
    _, _, rest = source.partition("def forward(")
    return rest.partition("\n")[2].rstrip()


def imports_of(names: Mapping[str, Any], body: str) -> set[str]:
    """Return the import lines that code needs; names: what its free names stand for."""
    used = {name: value for name, value in names.items()
            if re.search(rf"\b{re.escape(name)}\b", body)}  # fmt: skip
    for value in used.values():
        if "<locals>" in getattr(value, "__qualname__", ""):
            raise RewritingError(f"uses {value.__qualname__}, which can't be imported")
    return set(_format_import_block(used, sys_importer).splitlines())


def _signature(recorder: Recorder) -> str:
    for parameter in recorder.parameters:
        default = parameter.default
        if default is not parameter.empty and not isinstance(default, LITERALS):
            raise RewritingError(f"has a default of its own kind, {default!r}")
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if any(p.kind is p.POSITIONAL_ONLY for p in recorder.parameters):
        own = own.replace(kind=inspect.Parameter.POSITIONAL_ONLY)
    return str(inspect.Signature([own, *recorder.parameters]))[1:-1]


def _check_settings(recorder: Recorder) -> list[str]:
    """Ask for the flags that the recorded run saw."""
    found = settings(recorder.module)
    if not found:
        return []
    values = "".join(f"self.{name}, " for name in found)
    expected = "".join(f"{value!r}, " for value in found.values())
    message = f"this forward pass was rewritten for {found}"
    return [f"    if ({values.rstrip()}) != ({expected.rstrip()}):",
            f"        raise ValueError({message!r})"]  # fmt: skip
