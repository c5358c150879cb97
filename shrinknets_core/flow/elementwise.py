"""Rules of operations that work entry by entry: values side by side share their features."""

from collections.abc import Sequence
from typing import Any

import torch

from shrinknets_core.flow.flow import Flow, rule, schema_name, union
from shrinknets_core.flow.labels import Axis, Site, Value

Zero = frozenset[Site] | None

SUMS = {"add", "sub", "rsub", "maximum", "minimum", "max", "min", "fmax", "fmin", "hypot", "where"}
"""Zero where all of their tensors are."""
PRODUCTS = {"mul", "multiply", "logical_and", "bitwise_and"}
"""Zero where one of their tensors is."""
QUOTIENTS = {"div", "true_divide", "divide", "fmod", "remainder", "masked_fill"}
"""Zero where their first tensor is."""


@rule("pointwise", "subtract", "multiply", "divide", "where", "masked_fill")
def pointwise(flow: Flow, *args: Any, **kwargs: Any) -> Value:
    """Combine values of equal or stretched shapes."""
    values = [v for v in [*args, *kwargs.values()] if isinstance(v, Value)]
    shape = flow.shape
    axes: dict[int, Axis] = {}
    for d in range(len(shape)):
        parts = [(v, d - len(shape) + len(v.shape)) for v in values]
        parts = [(v, e) for v, e in parts if e >= 0]
        axis = flow.tie((v, e) for v, e in parts)
        if axis is not None:
            zeros = [_zero(v, d - len(shape) + len(v.shape)) for v in values]
            axes[d] = Axis(labels=axis.labels, zeroed_by=_combine(flow, zeros, args, kwargs))
    return Value(shape=shape, axes=axes)


@rule("alias", "contiguous", "clone", "detach", "to", "_to_copy", "type_as", "lift_fresh_copy",
      "lift_fresh", "lift", "dropout", "feature_dropout", "native_dropout", "float", "double",
      "half", "bfloat16", "resolve_conj", "resolve_neg", "_assert_tensor_metadata",
      "requires_grad", "tril", "triu", "zero", "conj", "real", "_autocast_to_full_precision",
      "softsign", "tanhshrink", "_autocast_to_reduced_precision", "hardswish", "rrelu")  # fmt: skip
def unchanged(flow: Flow, value: Value, *_: Any, **__: Any) -> Value | None:
    """Keep features where they are, and zeros zero."""
    if not flow.shapes:
        return None
    if flow.shape != value.shape:
        flow.freeze_all(value, "takes the shape of another tensor")
        return Value(shape=flow.shape)
    return value


@rule("log_sigmoid", "logsigmoid", "alpha_dropout", "feature_alpha_dropout", "rand_like",
      "randn_like", "ones_like", "full_like", "empty_like", "bernoulli", "uniform",
      "normal")  # fmt: skip
def shaped_alike(flow: Flow, value: Value, *_: Any, **__: Any) -> Value:
    """Keep features where they are; what the entries hold is another matter."""
    axes = {d: Axis(labels=axis.labels) for d, axis in value.axes.items()}
    return Value(shape=flow.shape, axes=axes)


@rule("zeros_like")
def zeros_like(flow: Flow, value: Value, *_: Any, **__: Any) -> Value:
    """Keep features where they are, all entries 0."""
    axes = {d: Axis(labels=a.labels, zeroed_by=frozenset()) for d, a in value.axes.items()}
    return Value(shape=flow.shape, axes=axes)


@rule("zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "empty", "new_empty")
def filled(flow: Flow, *_: Any, **__: Any) -> Value:
    """Make a tensor of one number: its axes follow the features that it meets, if the code does."""
    zeros = frozenset[Site]() if schema_name(flow.node) in {"zeros", "new_zeros"} else None
    axes = {
        d: Axis(labels=flow.book.fresh(size), zeroed_by=zeros)
        for d, size in enumerate(flow.shape)
        if size > 1
    }
    return Value(shape=flow.shape, axes=axes)


@rule("arange", "linspace", "logspace", "rand", "randn", "randint", "randperm", "eye",
      "scalar_tensor", "tril_indices", "triu_indices", "hann_window", "empty_strided")  # fmt: skip
def constant(flow: Flow, *_: Any, **__: Any) -> Value:
    """Make a tensor of fixed size."""
    return Value(shape=flow.shape)


@rule("expand_as")
def expand_as(flow: Flow, value: Value, other: Value) -> Value:
    """Stretch axes of size 1 to another tensor's sizes."""
    axes: dict[int, Axis] = {}
    shift = len(flow.shape) - len(value.shape)
    for d in range(len(flow.shape)):
        parts = [(other, d), (value, d - shift)] if d >= shift else [(other, d)]
        if (axis := flow.tie(parts)) is not None:
            own = value.axes.get(d - shift)
            axes[d] = Axis(labels=axis.labels, zeroed_by=own.zeroed_by if own else None)
    return Value(shape=flow.shape, axes=axes)


@rule("copy")
def copy(flow: Flow, target: Value, source: Value, *_: Any) -> Value:
    """Overwrite a tensor, which may be a part of another one."""
    axes: dict[int, Axis] = {}
    for d in range(len(flow.shape)):
        e = d - len(flow.shape) + len(source.shape)
        parts = [(target, d), (source, e)] if e >= 0 else [(target, d)]
        if (axis := flow.tie(parts)) is not None:
            axes[d] = Axis(labels=axis.labels)
    return Value(shape=flow.shape, axes=axes)


@rule("index_put", "masked_scatter", "_index_put_impl")
def index_put(flow: Flow, target: Value, indices: Sequence[Value | None], value: Value,
              *_: Any) -> Value:  # fmt: skip
    """Overwrite entries: where a mask of the tensor's own shape tells which, side by side."""
    mask = indices[0] if isinstance(indices, (list, tuple)) and len(indices) == 1 else None
    if mask is None or mask.shape != target.shape or value.axes:
        flow.freeze_all(target, "entries are overwritten by their positions")
        for part in [value, *(i for i in (indices or ()) if isinstance(i, Value))]:
            flow.freeze_all(part, "entries are overwritten by their positions")
        return Value(shape=target.shape)
    axes = {}
    for d in range(len(target.shape)):
        if (axis := flow.tie([(target, d), (mask, d)])) is not None:
            axes[d] = Axis(labels=axis.labels)
    return Value(shape=target.shape, axes=axes)


@rule("prelu")
def prelu(flow: Flow, value: Value, weight: Value) -> Value:
    """Tie a slope per channel to its channel."""
    if weight.shape and weight.shape[-1] > 1:
        flow.tie([(value, 1), (weight, 0)])
    return value


@rule("glu")
def glu(flow: Flow, value: Value, dim: int = -1) -> Value:
    """Multiply the first half with the sigmoid of the second."""
    dim %= len(value.shape)
    axes = dict(value.axes)
    if (axis := value.axes.get(dim)) is not None:
        first, second = axis.labels.chunk(2)
        flow.book.tie(first, second)
        axes[dim] = Axis(labels=first, zeroed_by=axis.zeroed_by)
    return Value(shape=flow.shape, axes=axes)


@rule("meshgrid")
def meshgrid(flow: Flow, tensors: Sequence[Value], **_: Any) -> list[Value]:
    """Make grids, which have no features."""
    for part in tensors:
        flow.freeze_all(part, "made into a grid")
    return [Value(shape=shape) for shape in flow.shapes]


def _zero(value: Value, d: int) -> Zero:
    axis = value.axes.get(d) if d >= 0 else None
    return None if axis is None else axis.zeroed_by


def _combine(flow: Flow, zeros: Sequence[Zero], args: Sequence[Any], kwargs: Any) -> Zero:
    """Tell what makes the result 0, given what makes each tensor 0."""
    name = schema_name(flow.node)
    if len(zeros) == 1 and all(isinstance(a, Value) for a in args[:1]):
        return zeros[0] if zeros[0] is not None and _keeps_zero(flow, args, kwargs) else None
    if name in PRODUCTS:
        return next((zero for zero in zeros if zero is not None), None)
    if name == "masked_fill":
        fill = args[2] if len(args) > 2 else kwargs.get("value")
        return zeros[0] if fill == 0 else None
    if name in QUOTIENTS:
        return zeros[0]
    if name == "where":
        return union(zeros[1:]) if len(zeros) == 3 else None
    return union(zeros) if name in SUMS else None


def _keeps_zero(flow: Flow, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Try whether an operation on one tensor takes 0 to 0, with a finite slope."""
    point = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    target: Any = flow.node.target
    in_place = schema_name(flow.node, keep_underscore=True).endswith("_")
    target_input = point.clone() if in_place else point
    try:
        result = target(target_input, *args[1:], **kwargs)
        if result.item() != 0:
            return False
        if result.requires_grad:
            (slope,) = torch.autograd.grad(result, point, allow_unused=True)
            return slope is None or bool(slope.isfinite().all())
    except (RuntimeError, TypeError, NotImplementedError, IndexError):
        return False
    return True
