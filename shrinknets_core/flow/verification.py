"""Does a module's own code follow when its tensors shrink? Trace it again, and compare."""

import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map

from shrinknets_core.flow.flow import Flow, schema_name
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import Value
from shrinknets_core.flow.movement import spread
from shrinknets_core.flow.tracing import Trace, is_inside, retrace

SIZED = {
    "view", "reshape", "_unsafe_view", "expand", "broadcast_to", "unflatten", "split",
    "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "slice", "narrow", "zeros",
    "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "layer_norm",
    "rms_norm", "select", "tensor_split",
}  # fmt: skip
"""Operations with sizes or positions among their arguments."""
MOVED = {
    "view", "reshape", "_unsafe_view", "flatten", "unflatten", "split", "split_with_sizes", "chunk",
    "slice", "narrow", "select", "roll", "flip", "pixel_shuffle", "pixel_unshuffle", "tensor_split",
    "unsafe_chunk", "channel_shuffle", "native_channel_shuffle", "repeat", "repeat_interleave",
    "unbind", "unfold", "tile",
}  # fmt: skip
"""Operations whose arguments might pick other entries after a cut."""


PLACE = re.compile(r'File "[^"]+", line \d+')


@dataclass(frozen=True, kw_only=True)
class Misfit:
    """An operation that did not follow.

    Attributes:
        nodes: of the first trace, where it is written.
        reason: what went wrong.
    """

    nodes: list[tuple[Flow, fx.Node]]
    reason: str


def find_misfit(graph: FlowGraph, shrunken: nn.Module, alive: Tensor) -> Misfit | None:
    """Trace a shrunken module and return the first operation that does something else.

    Args:
        graph: of the module before.
        shrunken: the module, from which the features that are not alive are cut.
        alive: (classes,) bool.
    """
    for flow, before in zip(graph.flows, graph.traces, strict=True):
        try:
            after = retrace(shrunken, before)
        except Exception as error:  # noqa: BLE001  (whatever the model raises)
            return _from_error(graph, error)
        if (misfit := _compare(flow, before, after, graph, alive)) is not None:
            return misfit
    return None


def _from_error(graph: FlowGraph, error: Exception) -> Misfit:
    """Find the operations on the line of the model's code at which an error was raised.

    They are those with all of their call stack among the error's frames, the deepest of them.
    """
    message = f"its code does not follow: {str(error).splitlines()[0] if str(error) else error!r}"
    frames = {
        f'File "{frame.f_code.co_filename}", line {line}'
        for frame, line in traceback.walk_tb(error.__traceback__)
    }
    deepest: list[tuple[Flow, fx.Node]] = []
    depth = 0
    for flow in graph.flows:
        for node in flow.nodes():
            places = PLACE.findall(node.meta.get("stack_trace") or "")
            if not places or not set(places) <= frames or len(places) < depth:
                continue
            deepest = [] if len(places) > depth else deepest
            depth = len(places)
            deepest.append((flow, node))
    return Misfit(nodes=deepest, reason=message)


def _compare(
    flow: Flow, before: Trace, after: Trace, graph: FlowGraph, alive: Tensor
) -> Misfit | None:
    classes, wide = graph.units.classes, set(graph.book.wide)

    def calls(trace_: Trace) -> list[fx.Node]:
        # What is contiguous already is not made so again: with one head left, say.
        return [
            node
            for node in trace_.graph.nodes
            if node.op == "call_function"
            and schema_name(node) != "contiguous"
            and not is_inside(node, wide)
        ]

    def lives(labels: Tensor) -> Tensor:
        return alive[classes[labels]]

    first, second = calls(before), calls(after)
    for old, new in zip(first, second, strict=False):
        if old.target is not new.target:
            return _misfit(flow, old, "its code does something else")
        reason = _difference(flow, old, new, lives)
        if reason is not None:
            return _misfit(flow, old, reason)
    if len(first) != len(second):
        return _misfit(flow, first[-1], "its code does something else")
    return None


def _misfit(flow: Flow, node: fx.Node, reason: str) -> Misfit:
    return Misfit(nodes=[(flow, node)], reason=f"{reason} when it shrinks")


def _difference(
    flow: Flow, old: fx.Node, new: fx.Node, lives: Callable[[Tensor], Tensor]
) -> str | None:
    values = tree_leaves(flow.value_of(old), is_leaf=lambda v: isinstance(v, Value))
    fakes = [f for f in tree_leaves(new.meta.get("val")) if isinstance(f, Tensor)]
    for value, fake in zip(values, fakes, strict=False):
        if isinstance(value, Value) and _cut_shape(value, lives) != tuple(fake.shape):
            return f"its result has shape {tuple(fake.shape)}, not {_cut_shape(value, lives)},"
    name = schema_name(old)
    if name not in SIZED and not _same_arguments(flow, old, new, lives):
        return "its arguments change"
    if name in MOVED and not _moves_alike(flow, old, new, lives):
        return "it picks other entries"
    return None


def _cut_shape(value: Value, lives: Callable[[Tensor], Tensor]) -> tuple[int, ...]:
    return tuple(
        int(lives(value.axes[d].labels).sum()) if d in value.axes else size
        for d, size in enumerate(value.shape)
    )


def _same_arguments(
    flow: Flow, old: fx.Node, new: fx.Node, lives: Callable[[Tensor], Tensor]
) -> bool:
    def plain(node: fx.Node) -> list[Any]:
        leaves = tree_leaves(_all_arguments(node))
        return [None if isinstance(leaf, fx.Node) else leaf for leaf in leaves]

    a, b = plain(old), plain(new)
    if len(a) != len(b):
        return False
    differing = [(x, y) for x, y in zip(a, b, strict=True) if not _equal(x, y)]
    if differing and old in flow.counts:
        left = int(lives(flow.counts[old]).sum())
        before = len(flow.counts[old])
        return all(pair == (before, left) for pair in differing)
    return not differing


def _all_arguments(node: fx.Node) -> list[Any]:
    """Return the arguments, with the defaults of those that are left out."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return [node.args, node.kwargs]
    return [
        node.args[i] if i < len(node.args) else node.kwargs.get(a.name, a.default_value)
        for i, a in enumerate(schema.arguments)
    ]


def _equal(a: Any, b: Any) -> bool:
    both_nan = isinstance(a, float) and isinstance(b, float) and isnan(a) and isnan(b)
    return bool(a == b) or both_nan


def _moves_alike(flow: Flow, old: fx.Node, new: fx.Node, lives: Callable[[Tensor], Tensor]) -> bool:
    """Run both operations on the labels, and compare what is left of the first with the second."""
    source = flow.value_of(old.args[0])  # type: ignore[arg-type]
    results = tree_leaves(flow.value_of(old), is_leaf=lambda v: isinstance(v, Value))
    if not isinstance(source, Value):
        return True
    for position, axis in source.axes.items():
        kept = axis.labels[lives(axis.labels)]
        if len(kept) == 0:
            continue
        cut = Value(shape=_cut_shape(source, lives), axes={position: _with(axis, kept)})
        expected = _run(old, spread(source, position), flow)
        actual = _run(new, spread(cut, position), flow)
        for value, a, b in zip(results, expected, actual, strict=True):
            for d, along in value.axes.items():
                a = a.index_select(d, torch.nonzero(lives(along.labels)).flatten())  # noqa: PLW2901
            if not torch.equal(a, b):
                return False
    return True


def _with(axis: Any, labels: Tensor) -> Any:
    return type(axis)(labels=labels, zeroed_by=axis.zeroed_by)


def _run(node: fx.Node, labels: Tensor, flow: Flow) -> list[Tensor]:
    name = schema_name(node)
    if name in {"view", "reshape", "_unsafe_view", "flatten", "unflatten"}:
        return [labels.reshape(tuple(node.meta["val"].shape))]

    def known(part: Any) -> Any:
        value = flow.value_of(part) if isinstance(part, fx.Node) else part
        return value.known if isinstance(value, Value) else value

    args, kwargs = tree_map(
        known, (list(node.args[1:]), dict(node.kwargs)), is_leaf=lambda v: isinstance(v, fx.Node)
    )
    return tree_leaves(node.target(labels, *args, **kwargs))  # type: ignore[operator]
