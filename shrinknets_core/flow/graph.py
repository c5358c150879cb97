"""The flow graph of a module: which features there are, and every tensor that they reach."""

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from shrinknets_core.flow import contractions, elementwise, movement, recurrent, statistics
from shrinknets_core.flow.flow import Flow
from shrinknets_core.flow.labels import LabelBook
from shrinknets_core.flow.parts import trace_all
from shrinknets_core.flow.tracing import Inputs, Trace, stored_tensors
from shrinknets_core.flow.units import Units, find_units

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
    """Follow the features through given traces."""
    stored = stored_tensors(model)
    names = first_names(stored)
    for one in traces:
        one.stored.update({key: names[id(stored[name])] for key, name in one.stored.items()})
    book = LabelBook()
    axes = _shared_axes(stored, book)
    flows = []
    for one in traces:
        flow = Flow(book, axes)
        flow.run(one, stored)
        flows.append(flow)
    _freeze_unseen(traces, axes, book)
    units = find_units(book)
    return FlowGraph(
        axes=axes, units=units, book=book, traces=traces, flows=flows, untraced=untraced
    )


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
    graph: FlowGraph, nodes: list[tuple[Flow, fx.Node]], reason: str, *, everything: bool
) -> FlowGraph:
    """Freeze what meets at operations that don't follow a cut, and find the units anew."""
    frozen = len(graph.book.frozen)
    for flow, node in nodes:
        for value in flow.values_at(node):
            for axis in value.axes.values():
                graph.book.freeze(axis.labels, reason)
    if everything or len(graph.book.frozen) == frozen:
        graph.book.freeze(torch.arange(graph.book.count), reason)
    units = find_units(graph.book)
    return dataclasses.replace(graph, units=units)


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
