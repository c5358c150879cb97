"""Rules of operations that only move entries: they are run on the label arrays themselves."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from shrinknets_core.flow.flow import Flow, rule, schema_name, union
from shrinknets_core.flow.labels import FIXED, Axis, Value

EQUAL_PIECES = {"chunk", "unsafe_chunk", "split", "unsafe_split", "tensor_split"}
"""They take a number of pieces, or one size for all, and so the pieces must stay equal."""


def spread(value: Value, position: int) -> Tensor:
    """Return the labels along one axis as an array of the value's shape, without copies."""
    labels = value.axes[position].labels
    view = [1] * len(value.shape)
    view[position] = -1
    return labels.view(view).expand(value.shape)


@rule("view", "reshape", "_unsafe_view", "flatten", "unflatten", "ravel", "view_as",
      "reshape_as")  # fmt: skip
def reshape(flow: Flow, value: Value, *_: Any, **__: Any) -> Value:
    """Read the entries in the same order in another shape."""
    layers = [
        (spread(value, position).reshape(flow.shape), axis.zeroed_by)
        for position, axis in value.axes.items()
    ]
    return flow.settle(flow.shape, layers)


@rule("expand", "broadcast_to")
def expand(flow: Flow, value: Value, *_: Any, **__: Any) -> Value:
    """Stretch axes of size 1, which then follow the features that they meet, if the code does."""
    shift = len(flow.shape) - len(value.shape)
    axes = {d + shift: axis for d, axis in value.axes.items()}
    for d, size in enumerate(flow.shape):
        if size > 1 and (d < shift or value.shape[d - shift] == 1):
            axes[d] = Axis(labels=flow.book.fresh(size))
    return Value(shape=flow.shape, axes=axes)


@rule(
    "permute", "transpose", "swapaxes", "swapdims", "movedim",
    "moveaxis", "t", "numpy_T", "mT", "adjoint", "unsqueeze", "squeeze",
    "select", "slice", "narrow", "flip", "fliplr", "flipud",
    "roll", "repeat", "repeat_interleave", "tile", "pixel_shuffle", "pixel_unshuffle",
    "channel_shuffle", "native_channel_shuffle", "unfold", "diagonal", "rot90", "atleast_1d",
    "atleast_2d", "atleast_3d", "take_along_dim", "gather",
)  # fmt: skip
def move(flow: Flow, value: Value, *args: Any, **kwargs: Any) -> Value:
    """Run the operation on the labels of each axis in turn."""
    rest, named, unknown = _known((args, kwargs))
    if unknown:
        flow.freeze_all(value, "entries are picked by the data")
        return Value(shape=flow.shape)
    layers = []
    for position, axis in value.axes.items():
        array = flow.node.target(spread(value, position), *rest, **named)  # type: ignore[operator]
        layers.append((array, axis.zeroed_by))
    return flow.settle(flow.shape, layers)


@rule("split", "split_with_sizes", "chunk", "tensor_split", "hsplit", "vsplit", "dsplit",
      "unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes", "unbind")  # fmt: skip
def split(flow: Flow, value: Value, *args: Any, **kwargs: Any) -> list[Value]:
    """Cut a value into pieces; equal pieces lose their features side by side."""
    shapes = list(flow.shapes)
    pieces: list[list[tuple[Tensor, Any]]] = [[] for _ in shapes]
    for position, axis in value.axes.items():
        arrays = flow.node.target(spread(value, position), *args, **kwargs)  # type: ignore[operator]
        for layers, array in zip(pieces, arrays, strict=True):
            layers.append((array, axis.zeroed_by))
    values = [flow.settle(shape, layers) for shape, layers in zip(shapes, pieces, strict=True)]
    if schema_name(flow.node) in EQUAL_PIECES and isinstance(args[0] if args else 0, int):
        for position in value.axes:
            if len({shape[position] for shape in shapes}) == 1 < value.shape[position]:
                _tie_pieces(flow, [v.axes.get(position) for v in values])
    return values


def _tie_pieces(flow: Flow, pieces: Sequence[Axis | None]) -> None:
    present = [piece for piece in pieces if piece is not None]
    for piece in present[1:]:
        if piece.labels.shape == present[0].labels.shape:
            flow.book.tie(present[0].labels, piece.labels)


@rule("index")
def index(flow: Flow, value: Value, indices: Sequence[Value | None]) -> Value:
    """Pick entries by index tensors: known ones move labels, others freeze the axis."""
    picked: list[Tensor | None] = []
    position = 0
    for entry in indices:
        if entry is None:
            picked.append(None)
            position += 1
            continue
        known = entry.known
        width = len(entry.shape) if known is not None and known.dtype == torch.bool else 1
        for d in range(position, min(position + max(width, 1), len(value.shape))):
            flow.freeze(value.axes.get(d), "entries are picked by their positions")
        if known is None:
            known = torch.zeros(entry.shape, dtype=torch.int64)
        picked.append(known)
        position += width
    layers = []
    for d, axis in value.axes.items():
        try:
            array = torch.ops.aten.index.Tensor(spread(value, d), picked)
        except (IndexError, RuntimeError):
            flow.freeze_all(value, "entries are picked by the data")
            return Value(shape=flow.shape)
        if tuple(array.shape) != flow.shape:
            flow.freeze_all(value, "entries are picked by the data")
            return Value(shape=flow.shape)
        layers.append((array, axis.zeroed_by))
    return flow.settle(flow.shape, layers)


@rule("index_select")
def index_select(flow: Flow, value: Value, dim: int, positions: Value) -> Value:
    """Pick entries along one axis by an index tensor."""
    dim %= len(value.shape)
    picked: Value = index(flow, value, [*[None] * dim, positions])
    return picked


@rule("cat", "concat", "concatenate")
def cat(flow: Flow, tensors: Sequence[Value], dim: int = 0) -> Value:
    """Put values behind one another; along the other axes they lose features side by side."""
    parts = [part for part in tensors if part.shape != (0,)]
    dim %= len(flow.shape)
    axes: dict[int, Axis] = {}
    for d in range(len(flow.shape)):
        if d != dim:
            if (axis := flow.tie((part, d) for part in parts)) is not None:
                zeroed_by = union(_zeroed_by(part, d) for part in parts)
                axes[d] = Axis(labels=axis.labels, zeroed_by=zeroed_by)
        elif any(d in part.axes for part in parts):
            labels = torch.cat([_labels(part, d) for part in parts])
            zeroed_by = union(part.axes[d].zeroed_by for part in parts if d in part.axes)
            axes[d] = Axis(labels=labels, zeroed_by=zeroed_by)
    return Value(shape=flow.shape, axes=axes)


@rule("stack")
def stack(flow: Flow, tensors: Sequence[Value], dim: int = 0) -> Value:
    """Put values side by side along a new axis, which has no features."""
    dim %= len(flow.shape)
    axes: dict[int, Axis] = {}
    for d in range(len(flow.shape) - 1):
        if (axis := flow.tie((part, d) for part in tensors)) is not None:
            zeroed_by = union(_zeroed_by(part, d) for part in tensors)
            axes[d + (d >= dim)] = Axis(labels=axis.labels, zeroed_by=zeroed_by)
    return Value(shape=flow.shape, axes=axes)


@rule("constant_pad_nd", "pad")
def pad(flow: Flow, value: Value, widths: Sequence[int], *args: Any, **kwargs: Any) -> Value:
    """Pad; entries of a constant other than 0 among a feature's own keep it from being zero."""
    plain = args or kwargs
    mode = next((a for a in [*args, *kwargs.values()] if isinstance(a, str)), "constant")
    fill = next((a for a in [*args, *kwargs.values()] if isinstance(a, (int, float))), 0)
    layers = []
    for position, axis in value.axes.items():
        padded = {len(value.shape) - 1 - i // 2 for i, width in enumerate(widths) if width}
        array = spread(value, position)
        if position in padded:
            array = (
                torch.ops.aten.pad.default(array, list(widths), mode)
                if plain and (mode != "constant")
                else torch.ops.aten.constant_pad_nd.default(array, list(widths), FIXED)
            )
        else:
            array = array[tuple(slice(0, 1) if d in padded else slice(None)
                                for d in range(array.dim()))].expand(flow.shape)  # fmt: skip
        zeroed_by = axis.zeroed_by if mode != "constant" or fill == 0 else None
        layers.append((array, zeroed_by))
    return flow.settle(flow.shape, layers)


@rule("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d",
      "replication_pad2d", "replication_pad3d")  # fmt: skip
def mirror(flow: Flow, value: Value, widths: Sequence[int]) -> Value:
    """Pad with copies of entries along the last axes, which must have no features."""
    count = len(widths) // 2
    for d in range(len(value.shape) - count, len(value.shape)):
        flow.freeze(value.axes.get(d), "padded with copies")
    kept = value.without(range(len(value.shape) - count, len(value.shape)))
    return Value(shape=flow.shape, axes=kept.axes)


@rule("im2col")
def im2col(flow: Flow, value: Value, *_: Any) -> Value:
    """Unfold patches: (N, C, H, W) to (N, C · kernel, positions)."""
    return _fold(flow, value, repeats=flow.shape[-2] // value.shape[-3])


def _fold(flow: Flow, value: Value, *, repeats: int) -> Value:
    channel = len(value.shape) - 3
    for d in (channel + 1, channel + 2):
        flow.freeze(value.axes.get(d), "spatial positions")
    axes = {d: axis for d, axis in value.axes.items() if d < channel}
    if (axis := value.axes.get(channel)) is not None:
        labels = axis.labels.repeat_interleave(repeats)
        axes[channel] = Axis(labels=labels, zeroed_by=axis.zeroed_by)
    return Value(shape=flow.shape, axes=axes)


@rule("col2im")
def col2im(flow: Flow, value: Value, *_: Any) -> Value:
    """Fold patches back: (N, C · kernel, positions) to (N, C, H, W)."""
    channel = len(value.shape) - 2
    flow.freeze(value.axes.get(channel + 1), "spatial positions")
    axes = {d: axis for d, axis in value.axes.items() if d < channel}
    if (axis := value.axes.get(channel)) is not None:
        channels = flow.shape[-3]
        parts = flow.settle((channels, len(axis.labels) // channels),
                            [(axis.labels.view(channels, -1), axis.zeroed_by)])  # fmt: skip
        flow.freeze(parts.axes.get(1), "positions of a patch")
        if 0 in parts.axes:
            axes[channel] = parts.axes[0]
    return Value(shape=flow.shape, axes=axes)


def _labels(value: Value, d: int) -> Tensor:
    axis = value.axes.get(d)
    return torch.full((value.shape[d],), FIXED) if axis is None else axis.labels


def _zeroed_by(value: Value, d: int) -> Any:
    axis = value.axes.get(d)
    return None if axis is None else axis.zeroed_by


def _known(tree: tuple[Any, Any]) -> tuple[Any, Any, bool]:
    """Replace values among the arguments by their known tensors, and tell whether one is not."""
    args = [v.known if isinstance(v, Value) else v for v in tree[0]]
    kwargs = {k: v.known if isinstance(v, Value) else v for k, v in tree[1].items()}
    before = [*tree[0], *tree[1].values()]
    after = [*args, *kwargs.values()]
    unknown = any(isinstance(b, Value) and a is None for b, a in zip(before, after, strict=True))
    return args, kwargs, unknown
