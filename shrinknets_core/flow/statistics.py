"""Rules of operations that look at several features at once: norms, softmax, reductions, pools."""

from collections.abc import Iterable, Sequence
from typing import Any

from shrinknets_core.flow.flow import RULES, TOGETHER, Flow, rule, schema_name, union
from shrinknets_core.flow.labels import Axis, Value


@rule("batch_norm", "instance_norm", "native_batch_norm", "cudnn_batch_norm")
def channel_norm(flow: Flow, x: Value, weight: Value | None, bias: Value | None, *rest: Any,
                 **_: Any) -> Value:  # fmt: skip
    """Normalise each channel by itself; scale and shift can make it 0."""
    vectors = [v for v in (weight, bias, *rest[:2]) if isinstance(v, Value)]
    channel = 1 if len(x.shape) > 1 else 0
    axis = flow.tie([(x, channel), *((v, 0) for v in vectors)])
    for d in range(len(x.shape)):
        if d != channel and (d > 0 or schema_name(flow.node) != "instance_norm"):
            flow.freeze(x.axes.get(d), TOGETHER)
    axes = {d: Axis(labels=a.labels) for d, a in x.axes.items() if d == 0}
    if axis is not None:
        if not vectors:
            flow.count(Value(shape=(len(axis.labels),), axes={0: axis}))
        affine = [v.axes[0].zeroed_by if 0 in v.axes else None
                  for v in (weight, bias) if v is not None]  # fmt: skip
        zeroed_by = union(affine) if affine and weight is not None else None
        axes[channel] = Axis(labels=axis.labels, zeroed_by=zeroed_by)
    result = Value(shape=flow.shapes[0], axes=axes)
    if len(flow.shapes) == 1:
        return result
    return [result, *(Value(shape=shape) for shape in flow.shapes[1:])]  # type: ignore[return-value]


@rule("group_norm")
def group_norm(flow: Flow, x: Value, groups: int, weight: Value | None = None,
               bias: Value | None = None, *_: Any) -> Value:  # fmt: skip
    """Normalise groups of channels, which go whole."""
    vectors = [v for v in (weight, bias) if isinstance(v, Value)]
    axis = flow.tie([(x, 1), *((v, 0) for v in vectors)])
    for d in range(2, len(x.shape)):
        flow.freeze(x.axes.get(d), TOGETHER)
    axes = {d: Axis(labels=a.labels) for d, a in x.axes.items() if d == 0}
    if axis is not None:
        shape = (groups, len(axis.labels) // groups)
        parts = flow.settle(shape, [(axis.labels.view(shape), None)])
        flow.freeze(parts.axes.get(1), TOGETHER)
        flow.count(parts)
        affine = [v.axes[0].zeroed_by if 0 in v.axes else None for v in vectors]
        axes[1] = Axis(labels=axis.labels, zeroed_by=union(affine) if affine else None)
    return Value(shape=flow.shapes[0], axes=axes)


@rule("layer_norm", "rms_norm", "native_layer_norm", "_fused_rms_norm")
def layer_norm(flow: Flow, x: Value, shape: Sequence[int], *affine: Any, **_: Any) -> Value:
    """Normalise over all features of the last axes, which must therefore stay."""
    first = len(x.shape) - len(shape)
    for position in range(first, len(x.shape)):
        parts = [(v, position - first) for v in affine if isinstance(v, Value) and v.shape]
        flow.freeze(flow.tie([(x, position), *parts]), TOGETHER)
    axes = {d: Axis(labels=a.labels) for d, a in x.axes.items() if d < first}
    return Value(shape=flow.shapes[0], axes=axes)


@rule("softmax", "log_softmax", "_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp",
      "sort", "argsort", "topk", "softmin", "renorm", "msort")  # fmt: skip
def along(flow: Flow, x: Value, *args: Any, **kwargs: Any) -> Any:
    """Work along one axis, whose features must therefore stay."""
    name = schema_name(flow.node)
    default = args[1] if name == "topk" and len(args) > 1 else -1
    dim = kwargs.get("dim", default if name == "topk" else args[0] if args else -1)
    dim = dim if isinstance(dim, int) and not isinstance(dim, bool) else -1
    flow.freeze(x.axis(dim), TOGETHER)
    kept = x.without([dim]) if x.shape else x
    axes = {d: Axis(labels=a.labels) for d, a in kept.axes.items()}
    results = [Value(shape=shape, axes=axes) for shape in flow.shapes]
    return results[0] if len(results) == 1 else results


@rule("sum", "nansum", "linalg_vector_norm", "linalg_norm", "norm", "count_nonzero",
      "frobenius_norm")  # fmt: skip
def total(flow: Flow, x: Value, *args: Any, **kwargs: Any) -> Any:
    """Sum entries or their powers: a dead feature must contribute 0."""
    if "norm" in schema_name(flow.node):
        order = args[0] if args else kwargs.get("ord", kwargs.get("p"))
        order = 2 if order is None else order
        if not isinstance(order, (int, float)) or order <= 0 or order == float("inf"):
            return reduced(flow, x, *args, **kwargs)
        args = args[1:]
    dims = _dims(x, args, kwargs)
    for d in dims:
        if (axis := x.axes.get(d)) is not None:
            flow.book.demand(axis.labels, [(x, d)], "summed over, and not 0 when dead")
    return _reduce(flow, x, dims)


@rule("mean", "nanmean", "var", "std", "var_mean", "std_mean", "amax", "amin", "aminmax", "max",
      "min", "argmax", "argmin", "prod", "logsumexp", "all", "any", "median", "nanmedian", "mode",
      "kthvalue", "quantile", "special_logsumexp")  # fmt: skip
def reduced(flow: Flow, x: Value, *args: Any, **kwargs: Any) -> Any:
    """Reduce axes; the features along them must stay."""
    if args and isinstance(args[0], Value):
        return RULES["pointwise"](flow, x, *args, **kwargs)
    dims = _dims(x, args, kwargs)
    for d in dims:
        flow.freeze(x.axes.get(d), TOGETHER)
    keeps_zero = schema_name(flow.node) in {"mean", "amax", "amin"}
    results = [_reduce(flow, x, dims, shape=shape, keeps_zero=keeps_zero) for shape in flow.shapes]
    return results[0] if len(results) == 1 else results


@rule("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
      "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
      "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool1d_with_indices", "lp_pool2d",
      "max_pool2d_with_indices", "max_pool3d_with_indices", "upsample_nearest1d",
      "upsample_nearest2d", "upsample_nearest3d", "upsample_bilinear2d", "upsample_linear1d",
      "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_nearest_exact2d",
      "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact1d",
      "_adaptive_avg_pool2d", "grid_sampler")  # fmt: skip
def spatial(flow: Flow, x: Value, *_: Any, **__: Any) -> Any:
    """Work on positions; the channels before them pass, and zeros stay zero."""
    name = schema_name(flow.node)
    count = next((n for n in (1, 2, 3) if f"{n}d" in name), len(x.shape) - 2)
    first = len(x.shape) - count
    for d in range(first, len(x.shape)):
        flow.freeze(x.axes.get(d), "positions are pooled")
    axes = {d: a for d, a in x.axes.items() if d < first}
    results = [Value(shape=shape, axes=axes) for shape in flow.shapes]
    return results[0] if len(results) == 1 else results


@rule("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft", "fft_hfft", "fft_fft2", "fft_ifft2",
      "fft_rfft2", "fft_irfft2", "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "stft",
      "fft_fftshift", "fft_ifftshift")  # fmt: skip
def fourier(flow: Flow, x: Value, size: Any = None, dim: Any = None, *_: Any) -> Value:
    """Transform axes; features along the others pass, and zeros stay zero."""
    name = schema_name(flow.node)
    if "shift" in name:
        dim = size
    if dim is None:
        count = 2 if name.endswith("2") else 1
        everywhere = name.endswith(("fftn", "shift"))
        dim = list(range(len(x.shape))) if everywhere else list(range(-count, 0))
    dims = [dim] if isinstance(dim, int) else list(dim)
    for d in dims:
        flow.freeze(x.axis(d), TOGETHER)
    return Value(shape=flow.shape, axes=x.without(dims).axes)


@rule("view_as_complex", "view_as_real")
def complex_view(flow: Flow, x: Value) -> Value:
    """Take the last axis, of size 2, for real and imaginary parts, or make it."""
    if schema_name(flow.node) == "view_as_complex":
        flow.freeze(x.axis(-1), TOGETHER)
        return Value(shape=flow.shape, axes=x.without([-1]).axes)
    return Value(shape=flow.shape, axes=x.axes)


@rule("index_add", "index_copy")
def index_add(flow: Flow, x: Value, dim: int, _: Value, source: Value, **__: Any) -> Value:
    """Add rows to places that the data name."""
    dim %= len(x.shape)
    for part in (x, source):
        flow.freeze(part.axes.get(dim), "places that the data name")
    axes: dict[int, Axis] = {}
    for d in range(len(x.shape)):
        if d != dim and (axis := flow.tie([(x, d), (source, d)])) is not None:
            zeros = [v.axes[d].zeroed_by if d in v.axes else None for v in (x, source)]
            axes[d] = Axis(labels=axis.labels, zeroed_by=union(zeros))
    return Value(shape=flow.shape, axes=axes)


@rule("scatter_add", "scatter", "scatter_reduce")
def scatter(flow: Flow, x: Value, dim: int, index: Value, source: Any, *_: Any, **__: Any) -> Value:
    """Add entries to places that the data name."""
    dim %= len(x.shape)
    parts = [v for v in (x, index, source) if isinstance(v, Value)]
    for part in parts:
        flow.freeze(part.axis(dim), "places that the data name")
    axes: dict[int, Axis] = {}
    for d in range(len(x.shape)):
        if d != dim and (axis := flow.tie((v, d) for v in parts)) is not None:
            zeros = [v.axes[d].zeroed_by if d in v.axes else None for v in parts if v is not index]
            axes[d] = Axis(labels=axis.labels, zeroed_by=union(zeros))
    return Value(shape=flow.shape, axes=axes)


@rule("max_unpool2d", "max_unpool3d")
def unpool(flow: Flow, x: Value, indices: Value, *_: Any) -> Any:
    """Put entries back where a pooling took them from."""
    count = 3 if "3d" in schema_name(flow.node) else 2
    for d in range(len(x.shape) - count):
        flow.tie([(x, d), (indices, d)])
    return spatial(flow, x)


@rule("embedding")
def embedding(flow: Flow, weight: Value, indices: Value, *_: Any, **__: Any) -> Value:
    """Pick rows by the data; the columns are features."""
    flow.freeze(weight.axes.get(0), "rows are picked by the data")
    axes = {d: Axis(labels=a.labels) for d, a in indices.axes.items()}
    if 1 in weight.axes:
        axes[len(flow.shape) - 1] = weight.axes[1]
    return Value(shape=flow.shape, axes=axes)


@rule("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(flow: Flow, weight: Value, *_: Any, **__: Any) -> list[Value]:
    """Pick rows by the data and add them up; the columns are features."""
    flow.freeze(weight.axes.get(0), "rows are picked by the data")
    axes = {1: weight.axes[1]} if 1 in weight.axes else {}
    first = Value(shape=flow.shapes[0], axes=axes)
    return [first, *(Value(shape=shape) for shape in flow.shapes[1:])]


@rule("_weight_norm", "_weight_norm_interface")
def weight_norm(flow: Flow, v: Value, g: Value, dim: int = 0) -> Any:
    """`g · v / ‖v‖`, the norm over all axes but one."""
    for d in range(len(v.shape)):
        if d != dim and (axis := v.axes.get(d)) is not None:
            flow.book.demand(axis.labels, [(v, d)], "a norm over the features")
    axes = dict(v.axes)
    axis = flow.tie([(v, dim), (g, dim)])
    if axis is not None:
        zeroed_by = g.axes[dim].zeroed_by if dim in g.axes else None
        axes[dim] = Axis(labels=axis.labels, zeroed_by=zeroed_by)
    result = Value(shape=v.shape, axes=axes)
    return result if len(flow.shapes) == 1 else [result, Value(shape=flow.shapes[1])]


def _dims(x: Value, args: Sequence[Any], kwargs: dict[str, Any]) -> list[int]:
    dims = kwargs.get("dim", args[0] if args else None)
    if dims is None or dims == []:
        return list(range(len(x.shape)))
    dims = [dims] if isinstance(dims, int) else list(dims)
    return [d % len(x.shape) for d in dims] if x.shape else []


def _reduce(
    flow: Flow,
    x: Value,
    dims: Iterable[int],
    *,
    shape: tuple[int, ...] | None = None,
    keeps_zero: bool = True,
) -> Value:
    shape = flow.shape if shape is None else shape
    gone = set(dims)
    kept = [d for d in range(len(x.shape)) if d not in gone]
    positions = {d: d if len(shape) == len(x.shape) else i for i, d in enumerate(kept)}
    axes = {
        positions[d]: Axis(labels=a.labels, zeroed_by=a.zeroed_by if keeps_zero else None)
        for d, a in x.axes.items()
        if d in positions
    }
    return Value(shape=shape, axes=axes)
