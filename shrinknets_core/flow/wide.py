"""Wide modules: what looks at all features at once runs at its full width, dead ones as zeros.

A norm over the features, say, divides by their number. It stays exact if it goes on to see the
features that were removed, as the zeros that they are when dead: its input is spread out to the
full width before it, and what stays is picked out of its output.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, fx

from shrinknets_core.flow.flow import TOGETHER, Flow
from shrinknets_core.flow.labels import Value
from shrinknets_core.flow.tracing import Trace, module_path


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a module in one trace.

    Attributes:
        source: the only tensor that it gets.
        result: the only one that it gives.
        nodes: its operations.
    """

    source: fx.Node
    result: fx.Node
    nodes: frozenset[fx.Node]


def find_wide(traces: list[Trace], flows: list[Flow], classes: Tensor) -> dict[str, int]:
    """Return the modules that could run at full width, and along which axis their features are.

    classes: (labels,) of the units found so far.
    """
    found: dict[str, int] = {}
    refused: set[str] = set()
    for one, flow in zip(traces, flows, strict=True):
        seen: dict[str, set[int]] = {}
        for node, labels in flow.statistics:
            path = module_path(node).partition("@")[0]
            seen.setdefault(path, set()).update(classes[labels].tolist())
        for path, features in seen.items():
            axis = _axis(one, flow, path, classes, features)
            if axis is None or found.setdefault(path, axis) != axis:
                refused.add(path)
    inner = {path for path in found for other in found if path.startswith(f"{other}.")}
    return {path: axis for path, axis in found.items() if path not in refused | inner}


def _axis(trace: Trace, flow: Flow, path: str, classes: Tensor, features: set[int]) -> int | None:
    calls = find_calls(trace, path)
    if not path or not calls:
        return None
    axes: set[int] = set()
    for call in calls:
        value = flow.value_of(call.source)
        same = _shape(call.source) == _shape(call.result)
        # Nothing but a vector or so of its own: everything inside stays as large as it is.
        if not same or _largest(trace, call) > max(_shape(call.source)):
            return None
        if not isinstance(value, Value):
            return None
        axes |= {d for d, a in value.axes.items() if set(classes[a.labels].tolist()) <= features}
    return axes.pop() if len(axes) == 1 else None


def find_calls(trace: Trace, path: str) -> list[Call]:
    """Find all calls of a module; none if one has several inputs or outputs."""
    by_call: dict[str, list[fx.Node]] = {}
    for node in trace.graph.nodes:
        if node.op != "call_function":
            continue
        for name, _ in (node.meta.get("nn_module_stack") or {}).values():
            if name.partition("@")[0] == path:
                by_call.setdefault(name, []).append(node)
                break
    calls = []
    for nodes in by_call.values():
        inside = set(nodes)
        sources = {
            n for node in nodes for n in node.all_input_nodes
            if n not in inside and n.name not in trace.stored
        }  # fmt: skip
        results = {node for node in nodes if not set(node.users) <= inside}
        if len(sources) != 1 or len(results) != 1:
            return []
        calls.append(Call(source=sources.pop(), result=results.pop(), nodes=frozenset(nodes)))
    return calls


def _largest(trace: Trace, call: Call) -> int:
    stored = {n for node in call.nodes for n in node.all_input_nodes if n.name in trace.stored}
    return max((torch.Size(_shape(node)).numel() for node in stored), default=0)


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("val"), "shape", ()))


__all__ = ["TOGETHER", "Call", "find_calls", "find_wide"]
