"""The flow graph of a module: which features there are, and every tensor that they reach."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from shrinknets_core.flow import contractions, elementwise, movement, recurrent, statistics
from shrinknets_core.flow.flow import Flow
from shrinknets_core.flow.labels import LabelBook
from shrinknets_core.flow.parts import trace_all
from shrinknets_core.flow.tracing import Inputs, Trace, module_path, stored_tensors
from shrinknets_core.flow.units import Units, find_units
from shrinknets_core.flow.wide import find_calls, find_wide

RULE_MODULES = (contractions, elementwise, movement, recurrent, statistics)
"""Importing them registers the rules."""


@dataclass(frozen=True, kw_only=True)
class FlowGraph:
    """What the label flow found out about a module.

    Attributes:
        axes: for each stored tensor (parameter or buffer), by name, the labels of its axes.
        units: what can be removed.
        book: all labels, with ties, relations and demands.
        traces: of the module in evaluation and in training.
        flows: the label flow through each trace.
        untraced: modules whose own code could not be traced, and why.
    """

    axes: dict[str, list[Tensor | None]]
    units: Units
    book: LabelBook
    traces: list[Trace]
    flows: list[Flow]
    untraced: dict[str, str]


def analyse(model: nn.Module, inputs: Inputs) -> FlowGraph:
    """Trace a module in both modes and follow its features through it.

    Raises:
        OptionError: the module does not run on the inputs.
    """
    traces, untraced = trace_all(model, inputs)
    return follow(model, traces, untraced)


def follow(model: nn.Module, traces: list[Trace], untraced: dict[str, str]) -> FlowGraph:
    """Follow the features through given traces.

    Modules with a statistic over features that could be removed otherwise run at full width.
    """
    stored = stored_tensors(model)
    names = first_names(stored)
    for one in traces:
        one.stored.update({key: names[id(stored[name])] for key, name in one.stored.items()})
    graph = _follow(stored, traces, untraced, {})
    wide = find_wide(traces, graph.flows, graph.units.classes)
    if not wide:
        return graph
    graph = _follow(stored, traces, untraced, wide)
    removable = {c for unit in graph.units.members for c in unit}
    needed = {
        path: axis
        for path, (axis, labels) in graph.book.wide.items()
        if not removable.isdisjoint(graph.units.classes[labels].tolist())
    }
    return graph if len(needed) == len(wide) else _follow(stored, traces, untraced, needed)


def _follow(
    stored: dict[str, Tensor], traces: list[Trace], untraced: dict[str, str], wide: dict[str, int]
) -> FlowGraph:
    book = LabelBook()
    axes = _shared_axes(stored, book)
    flows = []
    for one in traces:
        flow = Flow(book, axes)
        flow.run(one, stored, _bypassed(one, wide))
        flows.append(flow)
        _note_wide(one, flow, wide, book)
    for path in wide:
        _freeze_inside(path, axes, book)
    _freeze_unseen(traces, axes, book)
    units = find_units(book)
    return FlowGraph(
        axes=axes, units=units, book=book, traces=traces, flows=flows, untraced=untraced
    )


def _bypassed(trace: Trace, wide: dict[str, int]) -> dict[fx.Node, tuple[fx.Node, int]]:
    return {
        node: (call.source, axis)
        for path, axis in wide.items()
        for call in find_calls(trace, path)
        for node in call.nodes
    }


def _note_wide(trace: Trace, flow: Flow, wide: dict[str, int], book: LabelBook) -> None:
    """Write down the features that each wide module gets; calls with others are tied to them."""
    for path, axis in wide.items():
        for call in find_calls(trace, path):
            features = flow.value_of(call.source).axes.get(axis)
            if features is not None:
                _, first = book.wide.setdefault(path, (axis, features.labels))
                book.tie(first, features.labels)


def _freeze_inside(path: str, axes: dict[str, list[Tensor | None]], book: LabelBook) -> None:
    for name, labels in axes.items():
        if name.startswith(f"{path}."):
            for vector in labels:
                if vector is not None:
                    book.freeze(vector, "belongs to a module that runs at full width")


def _freeze_unseen(
    traces: list[Trace], axes: dict[str, list[Tensor | None]], book: LabelBook
) -> None:
    """Where only parts were traced, keep all tensors that other code may use."""
    for training in (False, True):
        paths = [one.path for one in traces if one.training == training]
        if not paths or "" in paths:
            continue
        for name, labels in axes.items():
            if not any(name.startswith(f"{path}.") for path in paths):
                for vector in labels:
                    if vector is not None:
                        book.freeze(vector, "used by code that can't be traced")


def refreeze(
    graph: FlowGraph, nodes: list[tuple[Flow, fx.Node]], reason: str, *, widening: int
) -> FlowGraph:
    """Freeze what meets at operations that don't follow a cut, and find the units anew.

    widening: 0 for the operations alone, 1 for all that their modules' own code runs, 2 for all
        that runs inside these modules, 3 for everything.
    """
    if widening >= 3 or not nodes:
        graph.book.freeze(torch.arange(graph.book.count), reason)
    for flow, node in _widened(graph, nodes, widening):
        for value in flow.values_at(node):
            for axis in value.axes.values():
                graph.book.freeze(axis.labels, reason)
    return dataclasses.replace(graph, units=find_units(graph.book))


def _widened(
    graph: FlowGraph, nodes: list[tuple[Flow, fx.Node]], widening: int
) -> list[tuple[Flow, fx.Node]]:
    if widening == 0:
        return nodes
    paths = {module_path(node) for _, node in nodes}
    inside = tuple(f"{path}." if path else "" for path in paths)
    return [
        (flow, node)
        for flow in graph.flows
        for node in flow.nodes()
        if module_path(node) in paths or (widening > 1 and module_path(node).startswith(inside))
    ]


def first_names(stored: dict[str, Tensor]) -> dict[int, str]:
    """Return the first name of each tensor, by identity: tied tensors have several."""
    return {id(tensor): name for name, tensor in reversed(stored.items())}


def _shared_axes(stored: dict[str, Tensor], book: LabelBook) -> dict[str, list[Tensor | None]]:
    """Give each tensor's axes labels; names of the same tensor share them."""
    by_identity: dict[int, list[Tensor | None]] = {}
    result = {}
    for name, tensor in stored.items():
        if id(tensor) not in by_identity:
            by_identity[id(tensor)] = [book.fresh(n) if n > 1 else None for n in tensor.shape]
        result[name] = by_identity[id(tensor)]
    return result


__all__ = ["FlowGraph", "analyse", "first_names", "follow", "refreeze"]
