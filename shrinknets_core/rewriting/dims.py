"""Which axes of a trace's tensors are as long as layers make or need them, whatever comes in."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx

from shrinknets_core.flow.flow import schema_name

WEIGHTED = {"linear": -1, "conv1d": -2, "conv2d": -3, "conv3d": -4}
"""Layers that make an axis as long as their weight says, counted from the end."""
READERS = {**WEIGHTED, "batch_norm": 1, "group_norm": 1, "instance_norm": 1}
"""Layers whose input must be as long along an axis as their tensors."""
NORMS = {"layer_norm", "rms_norm"}
"""They do both along all of the last axes that they are told of."""
SHAPE_KEEPING = {
    "dropout", "clone", "contiguous", "alias", "detach", "softmax", "log_softmax", "to", "pad",
    "_to_copy", "batch_norm", "group_norm", "layer_norm", "rms_norm", "instance_norm", "roll",
}  # fmt: skip
MAX_STEPS = 64


def is_fixed(node: fx.Node, dim: int, stored: set[str]) -> bool:
    """Tell whether an axis of a node's result has the length of some layer's tensors.

    stored: the names of the placeholders of stored tensors.
    """
    pending = [(node, dim)]
    seen: set[tuple[fx.Node, int]] = set()
    while pending and len(seen) < MAX_STEPS:
        place = pending.pop()
        if place in seen:
            continue
        seen.add(place)
        if place[0].name in stored or _is_made(*place) or _is_read(*place):
            return True
        pending.extend(_sources(*place))
    return False


def _rank(node: Any) -> int:
    return len(getattr(node.meta.get("val"), "shape", ()))


def _is_made(node: fx.Node, dim: int) -> bool:
    if node.op != "call_function":
        return False
    name, rank = schema_name(node), _rank(node)
    if name in WEIGHTED:
        return dim == rank + WEIGHTED[name]
    return name in NORMS and dim >= rank - len(node.args[1])  # type: ignore[arg-type]


def _is_read(node: fx.Node, dim: int) -> bool:
    rank = _rank(node)
    for user in node.users:
        if user.op != "call_function" or not user.args or user.args[0] is not node:
            continue
        name = schema_name(user)
        if name in READERS and dim == READERS[name] % rank:
            return True
        if name in NORMS and dim >= rank - len(user.args[1]):  # type: ignore[arg-type]
            return True
    return False


def _sources(node: fx.Node, dim: int) -> Iterator[tuple[fx.Node, int]]:
    """Return axes of other tensors that are sure to be as long."""
    if node.op != "call_function":
        return
    name, rank = schema_name(node), _rank(node)
    arguments: tuple[Any, ...] = node.args
    if name == "permute":
        yield arguments[0], arguments[1][dim] % rank
    elif name == "transpose":
        pair = [d % rank for d in arguments[1:3]]
        yield arguments[0], pair[1 - pair.index(dim)] if dim in pair else dim
    elif name in SHAPE_KEEPING or torch.Tag.pointwise in getattr(node.target, "tags", ()):
        size = node.meta["val"].shape[dim]
        for source in node.all_input_nodes:
            place = dim - rank + _rank(source)
            if place >= 0 and size > 1 and source.meta["val"].shape[place] == size:
                yield source, place
