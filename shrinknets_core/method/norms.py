"""How large the weights around each feature are, counting living neighbours only."""

import torch
from torch import Tensor

from shrinknets_core.feature_groups import Group
from shrinknets_core.method.layout import Layout, Line, product, squares


@torch.no_grad()
def scales(layout: Layout) -> dict[Group, Tensor]:
    """Return ‖incoming‖ · ‖outgoing‖ of each group's features, (num_features,) on their device.

    A gate can shrink while its weights grow and the function stays the same; the product of gate
    and scale can't. Incoming are the weights that make a feature, or, where a norm follows them and
    makes their size meaningless, the norm's scale; outgoing are the weights that read it. Biases
    don't count, and neither do weights to or from dead features, so that it is no matter when they
    are collected. Where a side has no weights it counts as 1. Never waits for the device.
    """
    norms = _square_norms(layout)
    result = {}
    for group in layout.groups:
        if group.bypass is not None:  # nothing is traded against the gate of a whole branch
            result[group] = torch.ones_like(group.filter.theta)
            continue
        normed = layout.passes_norm(group)
        incoming, outgoing = [], []
        for name, axis, line in layout.lines(group):
            if (name, axis) in group.readers:
                outgoing.append(_gather(layout, norms, name, axis, line))
            elif layout.is_norm_scale(name) if normed else layout.parameters[name].dim() > 1:
                incoming.append(_gather(layout, norms, name, axis, line))
        scale = torch.ones_like(group.filter.theta)
        for side in (incoming, outgoing):
            if side:
                scale = scale * torch.stack(side).sum(0).sqrt().to(scale)
        result[group] = scale
    return result


def _square_norms(layout: Layout) -> dict[tuple[str, int], Tensor]:
    """Look at each weight once: (size of the axis,) sums for each of its axes with features."""
    result = {}
    for name, axes in layout.axes.items():
        tensor = layout.parameters.get(name)
        if tensor is None or (tensor.dim() < 2 and not layout.is_norm_scale(name)):
            continue
        masks = layout.masks(name, dtype=tensor.dtype)
        for axis, sums in squares(tensor, masks, axes).items():
            result[name, axis] = sums
    return result


def _gather(
    layout: Layout, norms: dict[tuple[str, int], Tensor], name: str, axis: int, line: Line
) -> Tensor:
    sums = norms[name, axis]
    others = [other.alive() for other in layout.axes[name][axis] if other is not line]
    if others:
        sums = sums * product(others)
    return line.gather(sums)
