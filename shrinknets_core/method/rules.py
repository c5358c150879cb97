"""The update rules of the gates: proximal (the default) and subgradient (the paper's)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.amp.grad_scaler import GradScaler

from shrinknets_core.feature_groups import Group
from shrinknets_core.method.bank import make_banks
from shrinknets_core.method.deaths import Deaths, moves
from shrinknets_core.method.options import ShrinkOptions

Scales = Callable[[], Mapping[Group, Tensor]]
"""Returns for each group the size of the weights around its features, (num_features,)."""
LEAST_SCALE = 0.5
"""A feature's scale counts as no less when its step is chosen, so that no step is huge."""


class Proximal:
    """Proximal gradient descent on the gates: `θ ← max(0, θ − (η / s²) (g + λ p))`.

    The gates are in no optimiser: they have no momentum and no decay, they reach 0 exactly, and λ
    is the least useful gradient of a gate. s is the feature's scale ‖incoming‖ · ‖outgoing‖,
    relative to the group's mean when the rule was made, and the price p is s times the group's
    price. So the step is that of u = s θ, how much the feature matters to the function:
    `u ← max(0, u − η (∂L/∂u + λ p/s))`. Neither price nor pace changes when a gate shrinks while
    its weights grow, and survivors whose weights have grown don't fall in ever larger steps.

    Args:
        groups: whose gates to update, in place.
        options: step size, removal, probation and the rest.
        prices: of the groups, relative to one another.
        scales: looked up anew every `refresh_steps` steps.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        options: ShrinkOptions,
        *,
        prices: Mapping[Group, float],
        scales: Scales,
    ) -> None:
        self._groups = list(groups)
        self._options = options
        self._prices = prices
        self._scales = scales
        self._steps = 0
        self._units = {group: scale.mean() for group, scale in scales().items()}
        self.deaths = Deaths(groups, options)
        self.banks = make_banks(groups)

    @torch.no_grad()
    def step(self, lam: float, scaler: GradScaler | None = None) -> None:
        """Take one proximal step at penalty lam (loss per unit of gate); never waits.

        Uses the gradients that backward left in the gates, and clears them, as no optimiser will.
        With a scaler they are scaled; where they overflowed, no gate moves.
        """
        for bank in self.banks:
            bank.renew()
        if self._steps % self._options.refresh_steps == 0:
            self._look_at_weights()
        self._steps += 1
        step_size = self._options.step_size / self._options.steps_per_epoch
        for bank in self.banks:
            bank.take_gradients()
            if scaler is not None:
                bank.unscale(scaler.scale(torch.ones_like(bank.theta[0])), lam=lam)
            if self.deaths.watches:
                self.deaths.judge(bank, step_size=step_size, lam=lam)
            else:
                bank.grad.add_(bank.price, alpha=lam)
                bank.theta.sub_(moves(bank, step_size))
                self.deaths.latch(bank)
            bank.grad.zero_()

    def end_epoch(self) -> None:
        """Give up what waits for this."""
        self.deaths.end_epoch(self.banks)

    def state_dict(self) -> dict[str, Any]:
        """Return what the gates themselves don't tell, by the groups' names."""
        return {
            "steps": self._steps,
            "prices": {group.name: price for group, price in self._prices.items()},
            "units": {group.name: unit for group, unit in self._units.items()},
            "deaths": self.deaths.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._steps = state["steps"]
        self._prices = {group: state["prices"][group.name] for group in self._groups}
        self._units = {
            group: state["units"][group.name].to(group.filter.theta) for group in self._groups
        }
        self.deaths.load_state_dict(state["deaths"])

    def _look_at_weights(self) -> None:
        scales = self._scales() if self._options.scale_free else {}
        for group in self._groups:
            price = group.filter.price
            if group in scales:
                relative = scales[group] / self._units[group]
                torch.mul(relative, self._prices[group], out=price)
                torch.pow(relative.clamp_(min=LEAST_SCALE), -2, out=group.filter.pace)
            else:
                price.fill_(self._prices[group])
            group.filter.protect()


class Subgradient:
    """The paper's rule: gates are parameters of the optimiser, the penalty is part of the loss.

    Add `penalty(lam)` to the loss, let the optimiser step, then call `step`, which makes death a
    latch. With Adam the first 1/lr steps remove features by their initial draw for any λ.

    Args:
        groups: whose gates to watch, in place.
        options: removal and the least number of features.
        generator: draws the initial gates θ ~ U(0, 1), on the CPU; None keeps them as they are.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        options: ShrinkOptions,
        *,
        generator: torch.Generator | None = None,
    ) -> None:
        self._groups = list(groups)
        if generator is not None:
            for group in groups:
                theta = group.filter.theta.data
                draw = torch.rand(theta.shape, generator=generator, dtype=theta.dtype)
                theta.copy_(1.0 - draw)  # (0, 1]: nobody is born dead
        self.deaths = Deaths(groups, options)
        self.banks = make_banks(groups)

    def penalty(self, lam: float) -> Tensor:
        """Return λ Σ max(0, θ) (paper, eq. 2, as the authors' code has it), a scalar."""
        return lam * torch.stack([g.filter.theta.relu().sum() for g in self._groups]).sum()

    @torch.no_grad()
    def step(self, lam: float, scaler: GradScaler | None = None) -> None:  # noqa: ARG002
        """Latch the gates that the optimiser carried to zero or below; never waits.

        λ and a scaler have done their work by then: the call is the other rule's.
        """
        for bank in self.banks:
            bank.renew()
        for group in self._groups:
            group.filter.protect()
        for bank in self.banks:
            self.deaths.latch(bank)

    def end_epoch(self) -> None:
        """Give up what waits for this."""
        self.deaths.end_epoch(self.banks)

    def state_dict(self) -> dict[str, Any]:
        """Return what the gates themselves don't tell."""
        return {"deaths": self.deaths.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.deaths.load_state_dict(state["deaths"])
