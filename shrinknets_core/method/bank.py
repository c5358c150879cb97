"""The gates of many groups as one vector, so that a step costs the same for 1 and for 60."""

from collections.abc import Sequence

import torch
from torch import Tensor

from shrinknets_core.feature_groups import Group
from shrinknets_core.filters import Filter


class Bank:
    """All gates on one device and of one dtype; the filters' own tensors are views of it.

    Attributes:
        theta, alive, floor, price, pace: (gates,) of all filters, one after the other.
        left, total: (gates,) of probations, where there are any.
        grad: (gates,) the gates' gradients.

    Args:
        filters: get views in place of their tensors, and keep their values.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self.filters = list(filters)
        buffers = [name for name, _ in self.filters[0].named_buffers()]
        self._names = [name for name in buffers if name != "feature_ids"]
        self._bind()

    @torch.no_grad()
    def _bind(self) -> None:
        sizes = [f.num_features for f in self.filters]
        self.theta = torch.cat([f.theta.data for f in self.filters])
        self.grad = torch.zeros_like(self.theta)
        self._grads = list(torch.split(self.grad, sizes))
        for filter_, part in zip(self.filters, torch.split(self.theta, sizes), strict=True):
            filter_.theta.data = part
        for name in self._names:
            flat = torch.cat([filter_.get_buffer(name) for filter_ in self.filters])
            setattr(self, name, flat)
            for filter_, part in zip(self.filters, torch.split(flat, sizes), strict=True):
                filter_.get_buffer(name).data = part
        # Looking a parameter up in its module takes longer than all else here.
        self._thetas = [filter_.theta for filter_ in self.filters]
        self._places = [theta.data_ptr() for theta in self._thetas]

    alive: Tensor
    floor: Tensor
    price: Tensor
    pace: Tensor
    left: Tensor
    total: Tensor

    def renew(self) -> None:
        """Find the gates again where a collection or a move has put others in their place."""
        if [theta.data_ptr() for theta in self._thetas] != self._places:
            self._bind()

    def take_gradients(self) -> None:
        """Let `grad` hold what backward left in the gates; backward adds to it from then on."""
        for theta, part in zip(self._thetas, self._grads, strict=True):
            gradient = theta.grad
            if gradient is not part:
                if gradient is None:
                    part.zero_()
                else:
                    part.copy_(gradient)
                theta.grad = part

    def unscale(self, scale: Tensor, *, lam: float) -> None:
        """Divide the gradients by a loss scale, a scalar.

        If one overflowed, all become −λp, so that no gate moves, as no weight does.
        """
        finite = self.grad.isfinite().all()
        torch.where(finite, self.grad / scale, -lam * self.price, out=self.grad)


def make_banks(groups: Sequence[Group]) -> list[Bank]:
    """Put the gates of all groups into one bank for each device and dtype."""
    kinds: dict[tuple[torch.device, torch.dtype], list[Filter]] = {}
    for group in groups:
        theta = group.filter.theta
        kinds.setdefault((theta.device, theta.dtype), []).append(group.filter)
    return [Bank(filters) for filters in kinds.values()]
