"""Rules of sums of products: linear layers, convolutions, matrix products, attention."""

import string
from collections.abc import Sequence
from typing import Any

from shrinknets_core.flow.flow import Flow, rule, union
from shrinknets_core.flow.labels import Axis, Value
from shrinknets_core.flow.movement import spread

SUMMED = "summed over, and a dead feature would not contribute 0"


def contract(flow: Flow, operands: Sequence[tuple[Value, str]], out: str) -> Value:
    """Let labels flow through `einsum`, one letter per axis.

    Axes of one letter are tied. A feature that is summed over must be able to contribute 0.
    """
    axes: dict[int, Axis] = {}
    for letter in dict.fromkeys("".join(letters for _, letters in operands)):
        parts = [(v, letters.index(letter)) for v, letters in operands if letter in letters]
        axis = flow.tie(parts)
        if axis is None:
            continue
        if letter not in out:
            flow.book.demand(axis.labels, parts, SUMMED)
            continue
        zeros = [v.axes[d].zeroed_by for v, d in parts if d in v.axes]
        zeroed_by = next((zero for zero in zeros if zero is not None), None)
        axes[out.index(letter)] = Axis(labels=axis.labels, zeroed_by=zeroed_by)
    return Value(shape=flow.shape, axes=axes)


def add_bias(flow: Flow, value: Value, bias: Value | None, position: int) -> Value:
    """Add a vector along one axis; along the others, entries are no longer zero."""
    if bias is None:
        return value
    position %= len(value.shape)
    axes = {d: Axis(labels=a.labels) for d, a in value.axes.items() if d != position}
    axis = flow.tie([(value, position), (bias, 0)])
    if axis is not None:
        parts = [v.axes[d].zeroed_by if d in v.axes else None
                 for v, d in ((value, position), (bias, 0))]  # fmt: skip
        axes[position] = Axis(labels=axis.labels, zeroed_by=union(parts))
    return Value(shape=value.shape, axes=axes)


@rule("linear")
def linear(flow: Flow, x: Value, weight: Value, bias: Value | None = None) -> Value:
    """(…, in) with weight (out, in) to (…, out)."""
    letters = string.ascii_lowercase[: len(x.shape) - 1]
    if len(weight.shape) == 1:
        return contract(flow, [(x, letters + "Y"), (weight, "Y")], letters)
    result = contract(flow, [(x, letters + "Y"), (weight, "ZY")], letters + "Z")
    return add_bias(flow, result, bias, -1)


@rule("matmul", "mm", "bmm", "mv", "dot", "vdot", "linalg_vecdot")
def matmul(flow: Flow, a: Value, b: Value, *_: Any, **__: Any) -> Value:
    """Matrix product with stretched batch axes."""
    batch = string.ascii_lowercase[: max(len(a.shape), len(b.shape)) - 2] if (
        max(len(a.shape), len(b.shape)) > 2) else ""  # fmt: skip
    left = "Y" if len(a.shape) == 1 else batch[len(batch) - len(a.shape) + 2 :] + "XY"
    right = "Y" if len(b.shape) == 1 else batch[len(batch) - len(b.shape) + 2 :] + "YZ"
    out = batch + ("X" if len(a.shape) > 1 else "") + ("Z" if len(b.shape) > 1 else "")
    return contract(flow, [(a, left), (b, right)], out)


@rule("addmm", "baddbmm", "addbmm_", "addmv")
def addmm(flow: Flow, bias: Value, a: Value, b: Value, **_: Any) -> Value:
    """`bias + a @ b`."""
    product = matmul(flow, a, b)
    axes: dict[int, Axis] = {}
    for d in range(len(product.shape)):
        e = d - len(product.shape) + len(bias.shape)
        axis = flow.tie([(product, d), (bias, e)] if e >= 0 else [(product, d)])
        if axis is not None:
            parts = [(product, d), (bias, e)]
            zeros = [v.axes[p].zeroed_by if p in v.axes else None for v, p in parts]
            axes[d] = Axis(labels=axis.labels, zeroed_by=union(zeros))
    return Value(shape=product.shape, axes=axes)


@rule("einsum")
def einsum(flow: Flow, equation: str, tensors: Sequence[Value], **_: Any) -> Value:
    """Any sum of products; repeated letters of one tensor are refused."""
    equation = equation.replace(" ", "")
    left, arrow, out = equation.partition("->")
    terms = left.split(",")
    spare = [c for c in string.ascii_letters if c not in equation]
    width = max(len(v.shape) - len(t.replace("...", "")) for v, t in
                zip(tensors, terms, strict=True))  # fmt: skip
    batch = "".join(spare[:width])
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        out = ("..." if "..." in left else "") + "".join(
            sorted(c for c in letters if letters.count(c) == 1)
        )
    operands = []
    for value, term in zip(tensors, terms, strict=True):
        size = len(value.shape) - len(term.replace("...", ""))
        operands.append((value, term.replace("...", batch[width - size :] if size else "")))
    if any(len(set(term)) < len(term) for _, term in operands):
        for value in tensors:
            flow.freeze_all(value, "a diagonal is taken")
        return Value(shape=flow.shape)
    return contract(flow, operands, out.replace("...", batch))


@rule("bilinear")
def bilinear(flow: Flow, a: Value, b: Value, weight: Value, bias: Value | None = None) -> Value:
    """`aᵀ W_o b` for each output o."""
    letters = string.ascii_lowercase[: len(a.shape) - 1]
    operands = [(a, letters + "X"), (b, letters + "Y"), (weight, "ZXY")]
    return add_bias(flow, contract(flow, operands, letters + "Z"), bias, -1)


@rule("conv1d", "conv2d", "conv3d")
def conv(flow: Flow, x: Value, weight: Value, bias: Value | None = None, *args: Any,
         groups: int = 1, **_: Any) -> Value:  # fmt: skip
    """Convolution: weight (out, in / groups, *kernel)."""
    groups = args[3] if len(args) > 3 else groups
    return _convolve(flow, x, weight, bias, groups=groups, out_axis=0)


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(flow: Flow, x: Value, weight: Value, bias: Value | None = None, *args: Any,
                   groups: int = 1, **_: Any) -> Value:  # fmt: skip
    """Transposed convolution: weight (in, out / groups, *kernel)."""
    groups = args[3] if len(args) > 3 else groups
    return _convolve(flow, x, weight, bias, groups=groups, out_axis=1)


@rule("convolution", "_convolution")
def convolution(flow: Flow, x: Value, weight: Value, bias: Value | None, *args: Any) -> Value:
    """Any convolution, as lower levels write it."""
    transposed, groups = args[3], args[5]
    return _convolve(flow, x, weight, bias, groups=groups, out_axis=1 if transposed else 0)


def _convolve(
    flow: Flow, x: Value, weight: Value, bias: Value | None, *, groups: int, out_axis: int
) -> Value:
    channel = len(x.shape) - len(weight.shape) + 1
    for d in range(channel + 1, len(x.shape)):
        flow.freeze(x.axes.get(d), "positions are convolved over")
    for d in range(2, len(weight.shape)):
        flow.freeze(weight.axes.get(d), "positions of a kernel")
    if groups == 1:
        kernel = "uvwxy"[: len(weight.shape) - 2]
        spatial = "UVWXY"[: len(weight.shape) - 2]
        batch = "n" * channel
        letters = "oi" if out_axis == 0 else "io"
        pair = [(x.without(range(channel + 1, len(x.shape))), batch + "i" + spatial)]
        pair.append((_stripped(weight), letters + kernel))
        result = contract(flow, pair, batch + "o" + spatial)
    else:
        result = _grouped(flow, x, weight, groups, channel, out_axis)
    return add_bias(flow, result, bias, channel)


def _stripped(weight: Value) -> Value:
    """Leave out the kernel's positions."""
    axes = {d: axis for d, axis in weight.axes.items() if d < 2}
    return Value(shape=weight.shape, axes=axes, name=weight.name)


def _grouped(
    flow: Flow, x: Value, weight: Value, groups: int, channel: int, out_axis: int
) -> Value:
    """Groups go whole, or each group loses a channel: two kinds of slices of (groups, channels)."""
    ins = _split(flow, x.axes.get(channel), groups, x.shape[channel])
    if out_axis == 0:
        weight_in = Value(shape=(weight.shape[1],), axes=_only(weight.axes.get(1)))
        rows = weight.axes.get(0)
        outs = _split(flow, rows, groups, weight.shape[0])
        labels = None if rows is None else rows
    else:
        stored = _split(flow, weight.axes.get(0), groups, weight.shape[0])
        flow.tie([(ins, 0), (stored, 0)])
        weight_in = Value(shape=(stored.shape[1],), axes=_only(stored.axes.get(1)))
        outs, labels = _transposed_outputs(flow, weight, groups)
    flow.tie([(ins, 0), (outs, 0)])
    flow.count(outs if outs.axes else ins)
    inner = flow.tie([(ins, 1), (weight_in, 0)])
    if inner is not None:
        flow.book.demand(inner.labels, [(x, channel), (weight_in, 0)], SUMMED)
    axes = {d: Axis(labels=a.labels) for d, a in x.axes.items() if d < channel}
    if labels is not None:
        axes[channel] = labels
    return Value(shape=flow.shape, axes=axes)


def _transposed_outputs(flow: Flow, weight: Value, groups: int) -> tuple[Value, Axis | None]:
    """A transposed, grouped kernel has one axis for the outputs of a group: (in, out / groups)."""
    size = weight.shape[1]
    group_labels = Axis(labels=flow.book.fresh(groups))
    axes = {0: group_labels, **({1: weight.axes[1]} if 1 in weight.axes else {})}
    outs = Value(shape=(groups, size), axes=axes)
    layers = [(spread(outs, d).reshape(-1), axis.zeroed_by) for d, axis in axes.items()]
    merged = flow.settle((groups * size,), layers)
    return outs, merged.axes.get(0)


def _split(flow: Flow, axis: Axis | None, groups: int, size: int) -> Value:
    """View one axis as (groups, size / groups)."""
    shape = (groups, size // groups)
    if axis is None:
        return Value(shape=shape)
    return flow.settle(shape, [(axis.labels.view(shape), axis.zeroed_by)])


def _only(axis: Axis | None) -> dict[int, Axis]:
    return {} if axis is None else {0: axis}


@rule("scaled_dot_product_attention")
def attention(flow: Flow, query: Value, key: Value, value: Value, *args: Any,
              **kwargs: Any) -> Value:  # fmt: skip
    """softmax(q kᵀ · scale + mask) v; without a given scale the size of q's features sets it."""
    mask = args[0] if args else kwargs.get("attn_mask")
    if kwargs.get("scale") is None:
        for part in (query, key):
            flow.freeze(part.axis(-1), "its size sets the scale of attention")
    rank = max(len(v.shape) for v in (query, key, value))
    batch = string.ascii_lowercase[: rank - 2]
    batches = [batch[len(batch) - len(v.shape) + 2 :] for v in (query, key, value)]
    scores = contract(flow, [(query, batches[0] + "LE"), (key, batches[1] + "SE")], "")
    shape = (*flow.shape[:-1], key.shape[-2])
    scores = Value(shape=shape, axes=_batch_axes(flow, [query, key], len(shape)))
    if (axis := query.axis(-2)) is not None:
        scores.axes[len(shape) - 2] = Axis(labels=axis.labels)
    for v in (key, value):
        flow.freeze(v.axis(-2), "positions of a softmax")
    if isinstance(mask, Value):
        for d in range(1, len(mask.shape) + 1):
            tied = flow.tie([(mask, -d), (scores, -d)])
            if tied is not None:
                scores.axes[len(shape) - d] = Axis(labels=tied.labels)
    return contract(flow, [(scores, batch + "LS"), (value, batches[2] + "SF")], batch + "LF")


def _batch_axes(flow: Flow, values: Sequence[Value], rank: int) -> dict[int, Axis]:
    axes: dict[int, Axis] = {}
    for d in range(rank - 2):
        parts = [(v, d - rank + len(v.shape)) for v in values if d - rank + len(v.shape) >= 0]
        if (axis := flow.tie(parts)) is not None:
            axes[d] = Axis(labels=axis.labels)
    return axes
