"""A report in words: what can be removed from a model, where it reaches, and why the rest stays."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.graph import FlowGraph

MAX_REACH = 4
"""So many layers are named; the rest is counted."""


def find_reasons(
    graph: FlowGraph, tensors: Mapping[str, Tensor], groups: Iterable[Group]
) -> dict[str, list[tuple[int, str]]]:
    """Return for each layer how many of its features stay, and why, the most frequent first.

    The features of a layer are those along the first axis of its parameters with several axes.
    """
    gated = {(slot.tensor, slot.axis) for group in groups for slot in group.slots}
    result: dict[str, list[tuple[int, str]]] = {}
    for name, tensor in tensors.items():
        labels = graph.axes[name][0] if tensor.dim() > 1 else None
        if labels is None or not isinstance(tensor, nn.Parameter) or (name, 0) in gated:
            continue
        classes = graph.units.classes[labels].tolist()
        reasons = Counter(graph.units.reasons.get(c, "not chosen") for c in classes)
        layer = name.rpartition(".")[0] or name
        result[layer] = [(count, reason) for reason, count in reasons.most_common()]
    return result


def explain(
    groups: Sequence[Group],
    reasons: Mapping[str, list[tuple[int, str]]],
    refused: Mapping[str, str],
) -> str:
    """Write the report.

    reasons: by layer, as `find_reasons` gives them.
    refused: by module or group, why it could not be traced or was given up.
    """
    lines = [f"{len(groups)} groups of features can shrink"]
    rows = [("group", "alive", "dead", "parameters each", "reaches")]
    for group in groups:
        alive = group.alive
        numbers = (str(alive), str(group.size - alive), f"{group.cost:,}")
        rows.append((group.name or "(model)", *numbers, _reach(group)))
    lines += _table(rows) if groups else []
    if reasons:
        lines += ["", "What stays as it is:"]
        lines += [
            f"  {layer}: {count} features, {reason}"
            for layer, found in reasons.items()
            for count, reason in found[:1]
        ]
    if refused:
        lines += ["", "What was given up:"]
        lines += [f"  {name or 'the model as a whole'}: {why}" for name, why in refused.items()]
    return "\n".join(lines)


def _reach(group: Group) -> str:
    layers = list(dict.fromkeys(slot.tensor.rpartition(".")[0] for slot in group.slots
                                if "#" not in slot.tensor))  # fmt: skip
    more = len(layers) - MAX_REACH
    shown = ", ".join(layer or "(model)" for layer in layers[:MAX_REACH])
    return f"{shown} and {more} more" if more > 0 else shown


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {1, 2, 3}
    return [
        "  " + "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]  # fmt: skip
