"""The update rules of the gates: proximal (the default) and subgradient (the paper's)."""

from collections.abc import Sequence
from enum import StrEnum

import torch
from torch import Tensor

from shrinknets_core.groups import Group


class Rule(StrEnum):
    """How gates are updated."""

    PROXIMAL = "proximal"
    SUBGRADIENT = "subgradient"


def latch(groups: Sequence[Group]) -> None:
    """Set the gates of dead features to 0 and mark those that just got there; never waits."""
    for group in groups:
        layer = group.filter
        theta = layer.theta.data
        torch.maximum(theta, layer.floor, out=theta)
        theta.mul_(layer.alive)
        torch.sign(theta, out=layer.alive)


def starved(groups: Sequence[Group]) -> list[str]:
    """Name the groups that only their floor keeps alive; waits for the device."""
    return [group.name for group in groups if group.filter.is_starved()]


class Proximal:
    """Proximal gradient descent on the gates: `θ ← max(0, θ − η (g + λ p))`.

    The gates are in no optimiser: they have no momentum and no decay, they reach 0 exactly, and λ
    is the least useful gradient of a gate. The price p of a feature is its `Group.scale`, relative
    to the group's mean when the rule was made, so that a gate can't get cheaper by shrinking while
    its weights grow; and it is proportional to the square root of the parameters per feature,
    relative to the mean of all groups. A group never loses its last feature.

    Args:
        groups: whose gates to update, in place.
        step_size: η.
        refresh: steps between two looks at the weights' norms.
    """

    def __init__(
        self, groups: Sequence[Group], *, step_size: float = 1.0, refresh: int = 32
    ) -> None:
        self._groups = list(groups)
        self._step_size = step_size
        self._refresh = refresh
        self._steps = 0
        costs = [group.parameters_per_feature() ** 0.5 for group in groups]
        self._units = [
            group.scale().mean() * (sum(costs) / len(costs)) / cost
            for group, cost in zip(groups, costs, strict=True)
        ]

    @torch.no_grad()
    def step(self, lam: float) -> None:
        """Take one proximal step at penalty lam (loss per unit of gate).

        Uses the gradients that backward left in the gates, and clears them, as no optimiser will.
        """
        if self._steps % self._refresh == 0:
            self._look_at_weights()
        self._steps += 1
        for group in self._groups:
            theta = group.filter.theta
            if theta.grad is not None:
                theta.sub_(theta.grad, alpha=self._step_size)
                theta.grad = None
            theta.sub_(group.filter.price, alpha=self._step_size * lam)
        latch(self._groups)

    def _look_at_weights(self) -> None:
        for group, unit in zip(self._groups, self._units, strict=True):
            group.filter.price.copy_(group.scale() / unit)
            group.filter.protect()


class Subgradient:
    """The paper's rule: gates are parameters of the optimiser, the penalty is part of the loss.

    Add `penalty(lam)` to the loss, let the optimiser step, then call `step`, which makes death a
    latch. With Adam the first 1/lr steps remove features by their initial draw for any λ.

    Args:
        groups: whose gates to watch, in place.
        generator: draws the initial gates θ ~ U(0, 1), on the CPU; None keeps them as they are.
    """

    def __init__(
        self, groups: Sequence[Group], *, generator: torch.Generator | None = None
    ) -> None:
        self._groups = list(groups)
        if generator is not None:
            for group in groups:
                theta = group.filter.theta.data
                draw = torch.rand(theta.shape, generator=generator, dtype=theta.dtype)
                theta.copy_(1.0 - draw)  # (0, 1]: nobody is born dead

    def penalty(self, lam: float) -> Tensor:
        """Return λ Σ max(0, θ) (paper, eq. 2, as the authors' code has it), a scalar."""
        return lam * torch.stack([g.filter.theta.relu().sum() for g in self._groups]).sum()

    def step(self) -> None:
        """Latch the gates that the optimiser carried to zero or below."""
        for group in self._groups:
            group.filter.protect()
        latch(self._groups)
