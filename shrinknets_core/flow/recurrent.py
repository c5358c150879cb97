"""Rules of recurrent layers: a hidden unit owns its rows of all gates and its column."""

from collections.abc import Sequence
from typing import Any

import torch

from shrinknets_core.flow.flow import Flow, rule, schema_name, union
from shrinknets_core.flow.labels import Axis, Site, Value

CANDIDATE = {"lstm": (4, 2), "gru": (3, 2), "rnn": (1, 0)}
"""How many blocks of rows there are, and which holds the candidate: 0 rows there keep h at 0."""


@rule("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(flow: Flow, x: Value, state: Any, params: Sequence[Value], has_biases: bool,
              num_layers: int, *args: Any) -> list[Value]:  # fmt: skip
    """Layers of one size: unit k of all layers and directions goes at once."""
    bidirectional, batch_first = args[2], args[3]
    kind = schema_name(flow.node).split("_")[0]
    directions = 2 if bidirectional else 1
    each = len(params) // (num_layers * directions)
    states = list(state) if isinstance(state, (list, tuple)) else [state]
    if each not in {2, 4} or each != (4 if has_biases else 2) or len(x.shape) < 2:
        return _refuse(flow, [x, *states, *params])
    size = params[1].shape[1]
    hidden = Axis(labels=flow.book.fresh(size))
    unit = Value(shape=(size,), axes={0: hidden})
    for part in states:
        flow.tie([(part, -1), (unit, 0)])
    starts_at_zero = all(_is_zero(part) for part in states)
    current, feature = [x], len(x.shape) - 1
    for layer in range(num_layers):
        zeros = []
        for direction in range(directions):
            start = (layer * directions + direction) * each
            cell = params[start : start + each]
            zeros.append(_cell(flow, kind, cell, current, feature, unit))
        zeroed_by = union(zeros) if starts_at_zero else None
        shape = (*x.shape[:-1], size * directions)
        labels = torch.cat([hidden.labels] * directions)
        current = [Value(shape=shape, axes={feature: Axis(labels=labels, zeroed_by=zeroed_by)})]
    last = {len(s) - 1: Axis(labels=hidden.labels) for s in flow.shapes[1:2]}
    for d in range(feature):
        flow.freeze(x.axes.get(d), "positions of a sequence")
    del batch_first
    return [current[0], *(Value(shape=shape, axes=dict(last)) for shape in flow.shapes[1:])]


@rule("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def cell(flow: Flow, x: Value, state: Any, *params: Any) -> Any:
    """One step of one layer; the state comes from the step before."""
    kind = schema_name(flow.node).split("_")[0]
    states = list(state) if isinstance(state, (list, tuple)) else [state]
    size = params[1].shape[1]
    tied = flow.tie([(params[1], 1), *((part, -1) for part in states)])
    unit = Value(shape=(size,), axes={} if tied is None else {0: tied})
    given = [p for p in params if isinstance(p, Value)]
    zeroed_by = _cell(flow, kind, given, [x], len(x.shape) - 1, unit)
    before = union(part.axis(-1).zeroed_by if part.axis(-1) else None for part in states)
    zeroed_by = union([zeroed_by, before])
    axes = {} if tied is None else {len(flow.shapes[0]) - 1: Axis(
        labels=tied.labels, zeroed_by=zeroed_by)}  # fmt: skip
    results = [Value(shape=shape, axes=dict(axes)) for shape in flow.shapes]
    return results if kind == "lstm" else results[0]


def _cell(
    flow: Flow, kind: str, params: Sequence[Value], inputs: Sequence[Value], feature: int,
    unit: Value,
) -> frozenset[Site] | None:  # fmt: skip
    """Tie one cell's parameters to its inputs and units; return what keeps a unit at 0."""
    blocks, candidate = CANDIDATE[kind]
    weight_in, weight_hidden = params[0], params[1]
    size = unit.shape[0]
    for source in inputs:
        axis = flow.tie([(source, feature), (weight_in, 1)])
        if axis is not None:
            pair = [(source, feature), (weight_in, 1)]
            flow.book.demand(axis.labels, pair, "read by a recurrent layer")
    flow.tie([(weight_hidden, 1), (unit, 0)])
    zeros_of_rows: list[frozenset[Site] | None] = []
    for part in params:
        rows = part.axes.get(0)
        if rows is None:
            zeros_of_rows.append(None)
            continue
        for block in range(blocks):
            labels = rows.labels[block * size : (block + 1) * size]
            piece = Value(shape=(size,), axes={0: Axis(labels=labels)})
            flow.tie([(piece, 0), (unit, 0)])
        zeros_of_rows.append(_rows(rows.zeroed_by, candidate * size, (candidate + 1) * size))
    zeroed_by = union(zeros_of_rows)
    axis = unit.axes.get(0)
    if axis is not None:
        before = Value(shape=(size,), axes={0: Axis(labels=axis.labels, zeroed_by=zeroed_by)})
        pair = [(before, 0), (weight_hidden, 1)]
        flow.book.demand(axis.labels, pair, "read by a recurrent layer")
    return zeroed_by


def _rows(zeroed_by: frozenset[Site] | None, start: int, stop: int) -> frozenset[Site] | None:
    """Narrow whole-axis sites to some of their rows."""
    if zeroed_by is None:
        return None
    return frozenset(site._replace(start=start, stop=stop) for site in zeroed_by)


def _is_zero(value: Value) -> bool:
    axis = value.axis(-1) if value.shape else None
    return axis is not None and axis.zeroed_by == frozenset()


def _refuse(flow: Flow, values: Sequence[Value]) -> list[Value]:
    for value in values:
        flow.freeze_all(value, "a kind of recurrent layer that is not understood")
    return [Value(shape=shape) for shape in flow.shapes]
