"""Which arguments of torch's functions are sizes or positions, and of which axis."""

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from shrinknets_core.flow.flow import schema_name
from shrinknets_core.flow.labels import Value
from shrinknets_core.rewriting.reading import Path, Reading

SHAPED = {
    "view": ("size",), "reshape": ("shape",), "expand": ("size",), "broadcast_to": ("size",),
    "zeros": ("size",), "ones": ("size",), "empty": ("size",), "full": ("size",),
    "new_zeros": ("size",), "new_ones": ("size",), "new_empty": ("size",), "new_full": ("size",),
    "rand": ("size",), "randn": ("size",),
}  # fmt: skip
"""Functions that are told the shape of their result, and under which names."""
FROM_NOTHING = {"zeros", "ones", "empty", "full", "rand", "randn"}
PIECES = {"split", "split_with_sizes", "chunk", "unsafe_chunk", "tensor_split"}
GROUPED = {
    "conv1d": 6, "conv2d": 6, "conv3d": 6, "conv_transpose1d": 6, "conv_transpose2d": 6,
    "conv_transpose3d": 6, "group_norm": 1,
}  # fmt: skip
"""Functions that are told a number of groups, and at which place."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """An argument that is a size or a position.

    Attributes:
        node: the recorded call.
        path: where in its arguments.
        labels: what it counts.
        sign: -1 where it counts from the end.
        before: in that case what there is before; a count of that is never mistaken for another.
        piece: whether it is the size of one of several uneven pieces, of which the code tells a
            number or one size.
    """

    node: fx.Node
    path: Path
    labels: Tensor
    sign: int = 1
    before: Tensor | None = None
    piece: bool = False


def find_slots(reading: Reading, node: fx.Node) -> Iterator[Slot]:
    """Return the sizes and positions among a recorded call's arguments, where labels say more."""
    operations = reading.operations(node)
    if node.op not in {"call_function", "call_method"} or not operations:
        return
    name = node.target if isinstance(node.target, str) else node.target.__name__
    if name in SHAPED:
        yield from _shape(reading, node, name, operations)
    elif name == "unflatten":
        yield from _unflatten(reading, node, operations)
    elif name in PIECES:
        yield from _pieces(reading, node, operations)
    elif node.target in {operator.getitem, operator.setitem}:
        yield from _index(reading, node, node.args[1], operations)
    elif name in {"narrow", "select"}:
        yield from _narrow(reading, node, name, operations)
    elif name in GROUPED:
        yield from _groups(reading, node, name, operations)


def get_at(node: fx.Node, path: Path) -> Any:
    """Return an argument."""
    value: Any = node.kwargs if path[0] == "kwargs" else node.args
    for step in path[1:]:
        value = _slice_parts(value)[step] if isinstance(value, slice) else value[step]
    return value


def set_at(tree: Any, path: Path, value: Any) -> Any:
    """Return arguments in which one is replaced."""
    if not path:
        return value
    if isinstance(tree, slice):
        parts = list(_slice_parts(tree))
        parts[path[0]] = set_at(parts[path[0]], path[1:], value)
        return slice(*parts)
    if isinstance(tree, dict):
        return {**tree, path[0]: set_at(tree.get(path[0]), path[1:], value)}
    parts = list(tree)
    parts[path[0]] = set_at(parts[path[0]], path[1:], value)
    return parts if isinstance(tree, list) else tuple(parts)


def _slice_parts(value: slice) -> tuple[Any, Any, Any]:
    return (value.start, value.stop, value.step)


def _last(operations: Sequence[fx.Node], names: set[str]) -> fx.Node | None:
    return next((o for o in reversed(operations) if schema_name(o) in names), None)


def _shape(reading: Reading, node: fx.Node, name: str, operations: list[fx.Node]) -> Iterator[Slot]:
    operation = _last(operations, {name, "view", "_unsafe_view", "reshape"})
    value = reading.value(operation)
    if not isinstance(value, Value):
        return
    for axis, path in enumerate(_size_paths(node, name)):
        if axis in value.axes:
            yield Slot(node=node, path=path, labels=value.axes[axis].labels)


def _size_paths(node: fx.Node, name: str) -> list[Path]:
    """Return where the sizes are: one by one, or in one sequence."""
    for key in SHAPED[name]:
        if key in node.kwargs:
            return [("kwargs", key, i) for i in range(len(node.kwargs[key]))]  # type: ignore[arg-type]
    first = 0 if name in FROM_NOTHING and node.op == "call_function" else 1
    rest = node.args[first:]
    if rest and isinstance(rest[0], (list, tuple)):
        return [("args", first, i) for i in range(len(rest[0]))]
    if all(isinstance(part, (int, fx.Node)) for part in rest):
        return [("args", first + i) for i in range(len(rest))]
    return []


def _unflatten(reading: Reading, node: fx.Node, operations: list[fx.Node]) -> Iterator[Slot]:
    value = reading.value(operations[-1])
    if not isinstance(value, Value) or len(node.args) < 3:
        return
    dim, sizes = node.args[1:3]
    first = dim % (len(value.shape) - len(sizes) + 1)  # type: ignore[arg-type, operator]
    for i in range(len(sizes)):  # type: ignore[arg-type]
        if first + i in value.axes:
            yield Slot(node=node, path=("args", 2, i), labels=value.axes[first + i].labels)


def _pieces(reading: Reading, node: fx.Node, operations: list[fx.Node]) -> Iterator[Slot]:
    operation = _last(operations, PIECES)
    values = reading.value(operation)
    if not isinstance(values, list) or len(node.args) < 2:
        return
    dim = dim_of_cut(node) % len(values[0].shape)
    sizes = node.args[1]
    uneven = len({value.shape[dim] for value in values}) > 1
    listed = isinstance(sizes, (list, tuple))
    if listed or (uneven and all(dim in value.axes for value in values)):
        for i, value in enumerate(values):
            if dim in value.axes:
                labels = value.axes[dim].labels
                yield Slot(node=node, path=("args", 1, i), labels=labels, piece=not listed)
    elif dim in values[0].axes and not uneven and node.target in {"split", torch.split}:
        yield Slot(node=node, path=("args", 1), labels=values[0].axes[dim].labels)


def dim_of_cut(node: fx.Node) -> int:
    """Return the axis along which a call cuts a tensor into pieces."""
    dim = node.kwargs.get("dim", node.args[2] if len(node.args) > 2 else 0)
    return int(dim)  # type: ignore[arg-type]


def _index(
    reading: Reading, node: fx.Node, index: Any, operations: list[fx.Node]
) -> Iterator[Slot]:
    """Slices and single positions; other kinds of indices end the search."""
    source = reading.value(operations[0].args[0] if operations[0].args else None)
    if not isinstance(source, Value):
        return
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum(isinstance(p, (slice, int)) for p in parts)
    dim = 0
    for i, part in enumerate(parts):
        path: Path = ("args", 1, i) if isinstance(index, tuple) else ("args", 1)
        if part is None:
            continue
        if part is ...:
            dim += len(source.shape) - taken
            continue
        if not isinstance(part, (slice, int)):
            return
        axis = source.axes.get(dim)
        if axis is not None and isinstance(part, slice) and part.step in {None, 1}:
            for place in (0, 1):
                position = _slice_parts(part)[place]
                yield from _position(reading, node, (*path, place), position, axis.labels)
        elif axis is not None and not isinstance(part, slice):
            yield from _position(reading, node, path, part, axis.labels)
        dim += 1


def _position(
    reading: Reading, node: fx.Node, path: Path, position: Any, labels: Tensor
) -> Iterator[Slot]:
    """A position counts the entries before it, or from it on if it is negative."""
    if isinstance(position, fx.Node):
        position = reading.recorder.numbers.get(position)
    if not isinstance(position, int) or position == 0 or abs(position) > len(labels):
        return
    if position > 0:
        yield Slot(node=node, path=path, labels=labels[:position])
    else:
        last, before = labels[position:], labels[:position]
        yield Slot(node=node, path=path, labels=last, sign=-1, before=before)


def _narrow(
    reading: Reading, node: fx.Node, name: str, operations: list[fx.Node]
) -> Iterator[Slot]:
    source = reading.value(operations[0].args[0])
    numbers = [reading.recorder.numbers.get(a) if isinstance(a, fx.Node) else a for a in node.args]
    if not isinstance(source, Value) or not all(isinstance(n, int) for n in numbers[1:3]) or (
        len(numbers) < (4 if name == "narrow" else 3)
    ):  # fmt: skip
        return
    dim, start, *length = (int(number) for number in numbers[1:4])  # type: ignore[arg-type]
    axis = source.axis(dim)
    if axis is None:
        return
    yield from _position(reading, node, ("args", 2), start, axis.labels)
    if name == "narrow":
        start %= len(axis.labels)
        yield Slot(node=node, path=("args", 3), labels=axis.labels[start : start + length[0]])


def _groups(
    reading: Reading, node: fx.Node, name: str, operations: list[fx.Node]
) -> Iterator[Slot]:
    operation = _last(operations, {name})
    labels = None if operation is None else reading.flow.counts.get(operation)
    if labels is None:
        return
    place = GROUPED[name] + (name.startswith("conv_transpose"))
    key = "num_groups" if name == "group_norm" else "groups"
    if key in node.kwargs:
        yield Slot(node=node, path=("kwargs", key), labels=labels)
    elif len(node.args) > place:
        yield Slot(node=node, path=("args", place), labels=labels)
