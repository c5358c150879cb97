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


class Latch:
    """Keeps dead gates dead and one feature of each group alive, without waiting for the device.

    The feature with the largest gate is protected: its gate does not fall below a floor next to
    nothing. The choice is made anew every `refresh` steps, and when features were removed.
    """

    def __init__(self, groups: Sequence[Group], *, refresh: int = 32) -> None:
        self._filters = [group.filter for group in groups]
        self._names = [group.name for group in groups]
        self._refresh = refresh
        self._steps = 0
        self._removals = -1
        self._floors: list[Tensor] = []

    @torch.no_grad()
    def refresh_if_due(self) -> bool:
        """Choose the protected features anew if it is time to; call it before each update.

        Returns:
            Whether it was time to.
        """
        removals = sum(layer.removals for layer in self._filters)
        is_due = self._steps % self._refresh == 0 or removals != self._removals
        self._steps += 1
        if is_due:
            self._removals = removals
            self._floors = [self._floor(layer.theta.data, layer.alive) for layer in self._filters]
        return is_due

    @torch.no_grad()
    def close(self) -> None:
        """Set the gates of dead features to 0 and mark those that just got there."""
        for layer, floor in zip(self._filters, self._floors, strict=True):
            theta = layer.theta.data
            torch.maximum(theta, floor, out=theta)
            theta.mul_(layer.alive)
            torch.sign(theta, out=layer.alive)

    def starved(self) -> list[str]:
        """Name the groups that only their floor keeps alive; waits for the device."""
        return [
            name
            for name, layer in zip(self._names, self._filters, strict=True)
            if float(layer.theta.detach().max()) <= _floor_value(layer.theta)
        ]

    @staticmethod
    def _floor(theta: Tensor, alive: Tensor) -> Tensor:
        # A dead feature must lose the comparison even where all living gates are negative.
        largest = torch.where(alive > 0, theta, -torch.inf).argmax(dim=0, keepdim=True)
        return torch.zeros_like(theta).index_fill_(0, largest, _floor_value(theta))


def _floor_value(theta: Tensor) -> float:
    """Return a gate that passes next to nothing, yet is not 0 in the gates' dtype."""
    return float(torch.finfo(theta.dtype).tiny ** 0.5)


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
        self._latch = Latch(groups, refresh=refresh)
        costs = [group.parameters_per_feature() ** 0.5 for group in groups]
        self._units = [
            group.scale().mean() * (sum(costs) / len(costs)) / cost
            for group, cost in zip(groups, costs, strict=True)
        ]
        self._prices: list[Tensor] = []

    @torch.no_grad()
    def step(self, lam: float) -> None:
        """Take one proximal step at penalty lam (loss per unit of gate).

        Uses the gradients that backward left in the gates, and clears them, as no optimiser will.
        """
        if self._latch.refresh_if_due():
            self._prices = self._priced()
        for group, price in zip(self._groups, self._prices, strict=True):
            theta = group.filter.theta
            if theta.grad is not None:
                theta.sub_(theta.grad, alpha=self._step_size)
                theta.grad = None
            theta.sub_(price, alpha=self._step_size * lam)
        self._latch.close()

    def starved(self) -> list[str]:
        """Name the groups whose last feature would have died; waits for the device."""
        return self._latch.starved()

    def _priced(self) -> list[Tensor]:
        return [group.scale() / unit for group, unit in zip(self._groups, self._units, strict=True)]


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
        self._latch = Latch(groups, refresh=1)
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
        self._latch.refresh_if_due()
        self._latch.close()

    def starved(self) -> list[str]:
        """Name the groups whose last feature would have died; waits for the device."""
        return self._latch.starved()
