"""Are two traces the same operations on the same arguments?"""

import math
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten

from shrinknets_core.flow.flow import schema_name
from shrinknets_core.flow.graph import first_names
from shrinknets_core.flow.tracing import Trace, retrace, stored_tensors

ATTENTION = "scaled_dot_product_attention"
POSITIONED = {"slice", "select", "narrow"}
CUTTING = {"chunk", "unsafe_chunk", "split", "tensor_split"}


def run_again(model: nn.Module, before: Trace) -> Trace:
    """Trace again what was traced before; of a tensor's names the first one is used."""
    after = retrace(model, before)
    tensors = stored_tensors(model)
    names = first_names(tensors)
    after.stored.update({key: names[id(tensors[name])] for key, name in after.stored.items()})
    return after


def find_difference(before: Trace, after: Trace) -> fx.Node | None:
    """Return the first node of a trace that is another one in a second trace.

    Attention may say its scale where it took the same from its number of features, and what was cut
    into a number of pieces may be cut into pieces of the same sizes.
    """
    first: list[fx.Node] = list(before.graph.nodes)
    second: list[fx.Node] = list(after.graph.nodes)
    places = {node: i for i, node in enumerate(first)} | {n: i for i, n in enumerate(second)}
    for old, new in zip(first, second, strict=False):
        if _cut_alike(old, new, places):
            continue
        if old.op != new.op or (old.op != "placeholder" and old.target != new.target):
            return old
        if old.op == "placeholder" and not _same_source(before, old, after, new):
            return old
        if not _same_arguments(old, new, places):
            return old
    return None if len(first) == len(second) else first[-1]


def _cut_alike(old: fx.Node, new: fx.Node, places: dict[fx.Node, int]) -> bool:
    """Tell whether an operation lists the sizes of the pieces that the other one makes."""
    if old.op != "call_function" or schema_name(old) not in CUTTING or (
        new.op != "call_function" or schema_name(new) != "split_with_sizes"
    ):  # fmt: skip
        return False
    shapes = [[part.shape for part in node.meta["val"]] for node in (old, new)]
    return shapes[0] == shapes[1] and places[old.all_input_nodes[0]] == places[
        new.all_input_nodes[0]]  # fmt: skip


def _same_source(before: Trace, old: fx.Node, after: Trace, new: fx.Node) -> bool:
    if before.stored.get(old.name) != after.stored.get(new.name):
        return False
    one, two = before.constants.get(old.name), after.constants.get(new.name)
    if one is None or two is None:
        return one is two
    return one.shape == two.shape and one.dtype == two.dtype and _equal_values(one, two)


def _equal_values(one: Tensor, two: Tensor) -> bool:
    return bool(torch.equal(torch.nan_to_num(one), torch.nan_to_num(two)))


def _same_arguments(old: fx.Node, new: fx.Node, places: dict[fx.Node, int]) -> bool:
    options = dict(new.kwargs)
    if old.op == "call_function" and schema_name(old) == ATTENTION and "scale" not in old.kwargs:
        scale = options.pop("scale", None)
        if scale is not None and scale != 1 / math.sqrt(_features(old)):
            return False
    one, structure = tree_flatten((_from_the_start(old), dict(old.kwargs)))
    two, other = tree_flatten((_from_the_start(new), options))
    return structure == other and all(_same(a, b, places) for a, b in zip(one, two, strict=True))


def _from_the_start(node: fx.Node) -> Any:
    """Return the arguments, with positions from the end counted from the start."""
    if node.op != "call_function" or schema_name(node) not in POSITIONED or len(node.args) < 3:
        return node.args
    source, dim, *positions = node.args
    assert isinstance(source, fx.Node)
    size = source.meta["val"].shape[dim]
    counted = [p + size if isinstance(p, int) and p < 0 else p for p in positions[:2]]
    return (source, dim, *counted, *positions[2:])


def _features(attention: fx.Node) -> int:
    query = attention.args[0]
    assert isinstance(query, fx.Node)
    return int(query.meta["val"].shape[-1])


def _same(a: Any, b: Any, places: dict[fx.Node, int]) -> bool:
    if isinstance(a, fx.Node) and isinstance(b, fx.Node):
        return places[a] == places[b]
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and bool(a == b)
