"""What torch's own layers note about their sizes, told anew after a collection."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

Notes = list[tuple[nn.Module, str, Any]]
"""Values of modules' attributes."""


def restate_sizes(model: nn.Module, counts: Mapping[str, int]) -> Notes:
    """Let each layer's attributes tell the sizes of its tensors, in place.

    counts: by name, the groups that are left of layers that work in groups, and the channels of
        norms without tensors.

    Returns what the attributes were.
    """
    before: Notes = []
    for name, module in model.named_modules(remove_duplicate=False):
        for attribute, value in _sizes(module, counts.get(name)):
            before.append((module, attribute, getattr(module, attribute)))
            setattr(module, attribute, value)
    return before


def put_back(notes: Notes) -> None:
    """Give attributes back the values that they had."""
    for module, attribute, value in reversed(notes):
        setattr(module, attribute, value)


def _sizes(module: nn.Module, groups: int | None) -> list[tuple[str, Any]]:  # noqa: PLR0911
    # Not `module.weight`: a parametrised weight is computed when it is read.
    weight = module._parameters.get("weight")
    shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
    if isinstance(module, nn.Linear) and len(shape) == 2:
        return [("out_features", shape[0]), ("in_features", shape[1])]
    if isinstance(module, _ConvNd):
        groups = module.groups if groups is None else groups
        return _convolution_sizes(module, shape, groups) if shape else [("groups", groups)]
    if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and len(shape) == 2:
        return [("embedding_dim", shape[1])]
    if isinstance(module, _NormBase):
        vectors = [t for t in (weight, module.running_mean) if isinstance(t, Tensor)]
        features = vectors[0].numel() if vectors else groups
        return [] if features is None else [("num_features", features)]
    if isinstance(module, nn.GroupNorm):
        sizes = [("num_channels", shape[0])] if shape else []
        return sizes if groups is None else [*sizes, ("num_groups", groups)]
    if isinstance(module, nn.LayerNorm) and shape:
        return [("normalized_shape", shape)]
    if isinstance(module, nn.PReLU) and shape:
        return [("num_parameters", shape[0])]
    return _other_sizes(module, shape)


def _columns(module: nn.Module, name: str) -> int:
    return module.get_parameter(name).shape[1]


def _other_sizes(module: nn.Module, shape: tuple[int, ...]) -> list[tuple[str, Any]]:
    if isinstance(module, nn.RNNBase):
        return [
            ("input_size", _columns(module, "weight_ih_l0")),
            ("hidden_size", _columns(module, "weight_hh_l0")),
        ]
    if isinstance(module, nn.RNNCellBase):
        return [
            ("input_size", module.weight_ih.shape[1]),
            ("hidden_size", module.weight_hh.shape[1]),
        ]
    if isinstance(module, nn.Bilinear) and len(shape) == 3:
        names = ("out_features", "in1_features", "in2_features")
        return list(zip(names, shape, strict=True))
    return []


def _convolution_sizes(
    module: _ConvNd, shape: tuple[int, ...], groups: int
) -> list[tuple[str, Any]]:
    first, second = shape[0], shape[1] * groups
    ins, outs = (first, second) if module.transposed else (second, first)
    return [("in_channels", ins), ("out_channels", outs), ("groups", groups)]
