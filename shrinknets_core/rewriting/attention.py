"""A forward pass for `nn.MultiheadAttention` whose heads and their sizes can shrink.

Torch's own one asks for `embed_dim == num_heads * head_dim`, and takes the scale from the latter.
"""

import math
import re
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, fx, nn

from shrinknets_core.flow.flow import schema_name
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import FIXED, Value
from shrinknets_core.rewriting.forwards import Forward

TEXT = '''\
import torch
import torch.nn.functional as F


def added(mask, dtype):
    """Turn what must not be seen into minus infinity, to be added."""
    if mask is None or mask.is_floating_point():
        return mask
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, float("-inf"))


def forward(
    self,
    query,
    key,
    value,
    key_padding_mask=None,
    need_weights=True,
    attn_mask=None,
    average_attn_weights=True,
    is_causal=False,
):
    """Multi-head attention, as in `torch.nn`, with sizes of heads as the weights have them."""
    heads, scale = __size_0__, __scale__
    is_batched = query.dim() == 3
    if not is_batched:
        is_self = query is key and key is value
        query, key, value = query.unsqueeze(1), key.unsqueeze(1), value.unsqueeze(1)
        query, key, value = (query, query, query) if is_self else (query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    elif self.batch_first:
        is_self = query is key and key is value
        query = query.transpose(1, 0)
        key, value = (query, query) if is_self else (key.transpose(1, 0), value.transpose(1, 0))
    if is_causal and attn_mask is None:
        raise RuntimeError("attn_mask is needed where is_causal is given")
    is_causal = is_causal and key_padding_mask is None and not need_weights
    mask = None if is_causal else added(attn_mask, query.dtype)
    padding = added(key_padding_mask, query.dtype)
    sizes = [__size_1__, __size_2__, __size_3__]
    biases = (None, None, None)
    if self.in_proj_weight is not None and query is key and key is value:
        q, k, v = F.linear(query, self.in_proj_weight, self.in_proj_bias).split(sizes, -1)
    else:
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.split(sizes, 0)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_bias is not None:
            biases = self.in_proj_bias.split(sizes, 0)
        q = F.linear(query, weights[0], biases[0])
        k = F.linear(key, weights[1], biases[1])
        v = F.linear(value, weights[2], biases[2])
    batch, extra = q.size(1), 0
    if self.bias_k is not None:
        k = torch.cat([k, self.bias_k.expand(-1, batch, -1)])
        v = torch.cat([v, self.bias_v.expand(-1, batch, -1)])
        extra += 1
    if self.add_zero_attn:
        k, v = F.pad(k, (0, 0, 0, 0, 0, 1)), F.pad(v, (0, 0, 0, 0, 0, 1))
        extra += 1
    q = q.view(q.size(0), batch, heads, -1).permute(1, 2, 0, 3)
    k = k.view(k.size(0), batch, heads, -1).permute(1, 2, 0, 3)
    v = v.view(v.size(0), batch, heads, -1).permute(1, 2, 0, 3)
    if mask is not None and mask.dim() == 3:
        mask = mask.view(batch, heads, mask.size(1), mask.size(2))
    if mask is not None and extra:
        mask = F.pad(mask, (0, extra))
    if padding is not None:
        padding = F.pad(padding, (0, extra)).view(batch, 1, 1, k.size(2))
        mask = padding if mask is None else mask + padding
    dropout = self.dropout if self.training else 0.0
    weights = None
    if need_weights:
        weights = (q * scale) @ k.transpose(-2, -1)
        weights = (weights if mask is None else weights + mask).softmax(-1)
        if dropout > 0.0:
            weights = F.dropout(weights, dropout)
        attended = weights @ v
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if is_batched else weights.squeeze(0)
    else:
        attended = F.scaled_dot_product_attention(
            q, k, v, mask, dropout, is_causal, scale=scale
        )
    attended = attended.permute(2, 0, 1, 3).flatten(2)
    output = F.linear(attended, self.out_proj.weight, self.out_proj.bias)
    if not is_batched:
        output = output.squeeze(1)
    elif self.batch_first:
        output = output.transpose(1, 0)
    return output, weights
'''

HEADS = tuple(i for i, line in enumerate(TEXT.splitlines(), 1) if ", heads, -1)" in line)
"""The lines that split features into heads."""
PIECES = tuple(i for i, line in enumerate(TEXT.splitlines(), 1) if ".split(sizes" in line)
"""The lines that part queries, keys and values."""
Attribute = tuple[nn.Module, str, object]


def can_replace(module: nn.Module) -> bool:
    """Tell whether a module is torch's attention, as it is."""
    return type(module) is nn.MultiheadAttention and "forward" not in vars(module)


def replace(model: nn.Module, module: nn.MultiheadAttention) -> list[Attribute]:
    """Give an attention layer the new forward pass, in place.

    Layers around it would call fused operations with its weights: they are told not to.

    Returns attributes of modules as they were; empty if the new pass did something else.
    """
    width = module.embed_dim
    scale = 1 / math.sqrt(width // module.num_heads)
    text = TEXT.replace("__scale__", repr(scale))
    forward = Forward(module, text, (module.num_heads, width, width, width))
    if not _same_results(module, forward):
        return []
    before: list[Attribute] = [(module, "forward", None)]
    module.__dict__["forward"] = forward
    for parent in model.modules():
        if isinstance(parent, nn.TransformerEncoderLayer) and parent.self_attn is module:
            before.append((parent, "activation_relu_or_gelu", parent.activation_relu_or_gelu))
            parent.activation_relu_or_gelu = 0
        if isinstance(parent, nn.TransformerEncoder) and module in set(parent.modules()):
            before.append((parent, "use_nested_tensor", parent.use_nested_tensor))
            parent.use_nested_tensor = False
    return before


def undo(attributes: Sequence[Attribute]) -> None:
    """Put attributes back; a forward pass of None means the class's own."""
    for module, name, value in reversed(attributes):
        if name == "forward" and value is None:
            del module.__dict__["forward"]
        else:
            setattr(module, name, value)


@torch.no_grad()
def _same_results(module: nn.MultiheadAttention, forward: Forward) -> bool:
    """Compare the two passes on random numbers."""
    weight = module.out_proj.weight
    training = module.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        shapes = ((4, 2, module.embed_dim), (3, 2, module.kdim), (3, 2, module.vdim))
        inputs = [torch.randn(shape).to(weight) for shape in shapes]
        if module.batch_first:
            inputs = [part.transpose(0, 1) for part in inputs]
        module.training = False
        try:
            one, first = module(*inputs)
            two, second = forward(*inputs)
        finally:
            module.training = training
    tolerance = torch.finfo(weight.dtype).eps ** 0.5
    pairs = ((one, two), (first, second))
    return all(bool((a - b).abs().max() <= tolerance * a.abs().max()) for a, b in pairs)


def count_labels(graph: FlowGraph, forward: Forward) -> list[list[Tensor]]:
    """Return for each size of the new forward pass the label vectors that it counts.

    A size without labels has a vector of fixed ones.
    """
    found: list[list[Tensor]] = [[] for _ in forward.sizes]
    for flow in graph.flows:
        for node in flow.nodes():
            line = _line(node, forward.filename)
            values = flow.value_of(node)
            if line in HEADS and schema_name(node) == "view" and isinstance(values, Value):
                found[0].extend(_axis(values, 2))
            elif line in PIECES and isinstance(values, list):
                for number, value in enumerate(values):
                    found[1 + number].extend(_piece(value))
    return [
        vectors or [torch.full((size,), FIXED)]
        for vectors, size in zip(found, forward.sizes, strict=True)
    ]


def watched_labels(graph: FlowGraph, path: str) -> list[Tensor]:
    """Return the labels of all tensors of a layer."""
    return [
        labels
        for name, axes in graph.axes.items()
        if name.startswith(f"{path}." if path else "") and not name.endswith("#")
        for labels in axes
        if labels is not None
    ]


def _axis(value: Value, position: int) -> Iterator[Tensor]:
    if position in value.axes:
        yield value.axes[position].labels


def _piece(value: Value) -> Iterator[Tensor]:
    """The axis that was split: the first one of weights and biases, the last one of results."""
    position = 0 if len(value.shape) < 3 else 2
    return _axis(value, position)


def _line(node: fx.Node, filename: str) -> int:
    trace = node.meta.get("stack_trace") or ""
    lines = re.findall(rf'File "{re.escape(filename)}", line (\d+)', trace)
    return int(lines[-1]) if lines else 0
