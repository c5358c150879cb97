"""What becomes of a gate that reaches 0: dead at once, later, by chance, or after a probation."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from shrinknets_core.feature_groups import Group
from shrinknets_core.filters import floor_value
from shrinknets_core.generators import go_on
from shrinknets_core.method.bank import Bank
from shrinknets_core.method.options import Removal, ShrinkOptions

MAX_MOVE = 0.2
"""No gate goes further in one step, so that no single batch decides about a feature."""


def moves(bank: Bank, step_size: float) -> Tensor:
    """Turn a bank's gradients into moves (gates,), in place; returns them."""
    return bank.grad.mul_(bank.pace).mul_(step_size).clamp_(-MAX_MOVE, MAX_MOVE)


class Deaths:
    """Decides which gates at 0 are dead for good. A dead gate stays at exactly 0.

    A gate at 0 that is not yet dead has a gradient, the one-sided derivative: while it waits for
    the end of the epoch or for chance it follows the rule and may get back by itself.

    Args:
        groups: get what the options need to remember of each gate.
        options: removal, probation and the least number of features.
    """

    def __init__(self, groups: Sequence[Group], options: ShrinkOptions) -> None:
        self._removal = options.removal
        self._chance = options.removal_probability
        self._trial_steps = options.probation_steps
        self._rng: torch.Generator | None = None
        self._saved: Tensor | None = None
        """Where chance is to go on; the device is known when gates are seen."""
        for group in groups:
            # A branch beside a skip connection may die wholly.
            group.filter.min_features = 0 if group.bypass is not None else options.min_features
            group.filter.protect()
            if options.probation_steps:
                for name in ("left", "total"):
                    group.filter.register_buffer(name, torch.zeros_like(group.filter.theta.data))

    @property
    def watches(self) -> bool:
        """Whether gates that reach 0 get a probation."""
        return self._trial_steps > 0

    def latch(self, bank: Bank) -> None:
        """Lift gates to their floor, hold dead ones at 0 and mark new ones; never waits."""
        torch.maximum(bank.theta, bank.floor, out=bank.theta)
        bank.theta.mul_(bank.alive)
        if self._removal is Removal.AT_ONCE:
            torch.sign(bank.theta, out=bank.alive)
        elif self._removal is Removal.RANDOM:
            rng = self._generator(bank.theta.device)
            draw = torch.rand(bank.theta.shape, generator=rng, device=rng.device)
            draw = draw.to(bank.theta.device)
            bank.alive.mul_((bank.theta > 0) | (draw >= self._chance))

    def end_epoch(self, banks: Sequence[Bank]) -> None:
        """Give up the gates that stand at 0 now, where removal waits for this."""
        if self._removal is Removal.EPOCH_ENDS:
            for bank in banks:
                bank.alive.mul_(bank.theta > 0)

    def state_dict(self) -> dict[str, Any]:
        """Return where chance stands; all else is in the filters' buffers."""
        saved = self._saved if self._rng is None else self._rng.get_state()
        return {} if saved is None else {"rng": saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; on another kind of device chance begins anew."""
        self._rng, self._saved = None, state.get("rng")

    def _generator(self, device: torch.device) -> torch.Generator:
        if self._rng is None:
            self._rng = torch.Generator(device).manual_seed(0)
            if self._saved is not None:
                go_on(self._rng, self._saved)
        return self._rng

    def judge(self, bank: Bank, *, step_size: float, lam: float) -> None:
        """Take a proximal step in which gates that reach 0 are watched before they are given up.

        A gate on probation is held at 0 for the probation's steps. Then it gets back if on average
        the gradient there was below −λp, so that a larger gate would have lowered the penalised
        loss, and is dead otherwise.
        """
        watched = bank.left > 0
        verdict = bank.left == 1
        bank.total.add_(bank.grad * watched)
        gain = -(bank.total / self._trial_steps + lam * bank.price)
        revived = verdict & (gain > 0)
        bank.alive.mul_(~verdict | revived)
        bank.left.sub_(watched.to(bank.left))
        bank.grad.add_(bank.price, alpha=lam)
        theta = bank.theta - moves(bank, step_size)
        held = (step_size * bank.pace * gain).clamp_(max=MAX_MOVE) * revived
        torch.where(watched, held, torch.maximum(theta, bank.floor), out=bank.theta)
        bank.theta.mul_(bank.alive)
        new = (bank.theta <= 0) & (bank.alive > 0) & (bank.left == 0)
        bank.left.masked_fill_(new, self._trial_steps)
        bank.total.masked_fill_(new, 0.0)


def find_collapsed(groups: Sequence[Group]) -> list[str]:
    """Name the groups that only their floor keeps alive; waits for the device once."""
    if not groups:
        return []
    largest = torch.stack([group.filter.theta.detach().max().double().cpu() for group in groups])
    return [
        group.name
        for group, gate in zip(groups, largest.tolist(), strict=True)
        if gate <= floor_value(group.filter.theta.dtype)
    ]
