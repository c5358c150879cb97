"""Filter layers: one gate per feature, learnt with everything else."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from shrinknets_core.errors import OptionError


class Filter(nn.Module):
    """Multiply each feature by its gate: `y = x · max(0, θ)` (paper, eq. 1).

    Input and output have shape (batch, num_features, *); the gate is broadcast over all
    dimensions but the second. All gates start at 1, so a new filter changes nothing.

    Attributes:
        theta: (num_features,) the gates; a parameter in the layer's dtype, on its device.
        alive: (num_features,) 1 where the feature lives and 0 where it is dead, same dtype. Death
            is a latch: the update rules keep a dead gate at exactly 0 for good.
        feature_ids: (num_features,) int64, the features' numbers in the network as it was built;
            they stay with their features through every collection.
        floor: (num_features,) 0, but for `min_features` living ones a gate next to nothing: the
            update rules let no gate fall below it, so the last features stay.
        min_features: how many stay at least, 1 by default.
        price: (num_features,) what the proximal rule charges for the feature, relative to λ.
        pace: (num_features,) the proximal rule's step for the gate, relative to its step size.
    """

    theta: nn.Parameter
    alive: Tensor
    feature_ids: Tensor
    floor: Tensor
    price: Tensor
    pace: Tensor

    def __init__(
        self,
        num_features: int,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        if num_features < 1:
            raise OptionError("num_features", expected="at least 1", got=num_features)
        self.theta = nn.Parameter(torch.ones(num_features, dtype=dtype, device=device))
        self.register_buffer("alive", torch.ones_like(self.theta.data))
        self.register_buffer("feature_ids", torch.arange(num_features, device=device))
        self.register_buffer("floor", torch.zeros_like(self.theta.data))
        self.register_buffer("price", torch.ones_like(self.theta.data))
        self.register_buffer("pace", torch.ones_like(self.theta.data))
        self.min_features = 1
        self.protect()

    @property
    def num_features(self) -> int:
        """Features that are physically there, dead ones included."""
        return self.theta.numel()

    def num_alive(self) -> int:
        """Count the features that live; waits for the device."""
        return int(self.alive.count_nonzero())

    def forward(self, x: Tensor) -> Tensor:
        """Return `x · max(0, θ)`, of the shape of x: (batch, num_features, *)."""
        gate = self.theta.relu()
        return x * gate.view(-1, *(1,) * (x.dim() - 2)) if x.dim() > 2 else x * gate

    @torch.no_grad()
    def kill(self, features: Tensor | Iterable[int]) -> None:
        """Mark features dead by hand, in place; features: indices (k,) or a mask (num_features,).

        Raises:
            OptionError: there is no such feature.
        """
        if not isinstance(features, Tensor):
            features = torch.tensor(list(features), dtype=torch.int64)
        features = features.to(self.alive.device)
        if features.dtype == torch.bool:
            fits = features.shape == self.alive.shape
        else:
            fits = bool(((features >= 0) & (features < self.num_features)).all())
        if not fits:
            raise OptionError(
                "features",
                expected=f"indices from 0 to {self.num_features - 1}, or a mask of that size",
                got=features.tolist(),
            )
        self.alive[features] = 0
        self.theta.mul_(self.alive)
        self.protect()

    @torch.no_grad()
    def protect(self) -> None:
        """Put the floor under the `min_features` largest living gates; never waits."""
        # A dead feature must lose the comparison even where all living gates are negative.
        living = torch.where(self.alive > 0, self.theta, -torch.inf)
        if self.min_features == 1:
            largest = living.argmax(dim=0, keepdim=True)
        else:
            largest = living.topk(min(self.min_features, self.num_features)).indices
        self.floor.zero_().index_fill_(0, largest, floor_value(self.floor.dtype))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return everything that has an entry per feature."""
        return (self.theta, *self.buffers())

    def extra_repr(self) -> str:
        return f"{self.num_features}"


def floor_value(dtype: torch.dtype) -> float:
    """Return a gate that passes next to nothing, yet is not 0 in the gates' dtype."""
    return float(torch.finfo(dtype).tiny ** 0.5)
