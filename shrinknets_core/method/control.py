"""Steering λ by the size of the network: along a path, and towards a target."""

import math
from collections.abc import Mapping
from typing import Any

from shrinknets_core.errors import OptionError
from shrinknets_core.method.options import Target

MAX_RISE = 0.4
CORRECTIONS = 4
"""Of λ per epoch, on the way to a target."""
LEAST_AIM = 1e-9
"""So that there is always a ratio of the size to it."""


class LambdaControl:
    """Steers λ so that a size falls by a constant share from one correction to the next.

    A schedule in λ itself avalanches: gates that fell side by side die side by side. So does a λ
    that rises faster than gates can fall, as its effect shows only when they arrive at zero.

    Attributes:
        lam: the penalty to use now, in loss per unit of gate.

    Args:
        size: now, in any measure: features, parameters, MACs.
        first_lam: where λ starts.
        rate: the share of the size that is to go each time.
        slow_below: below this size the rate falls in proportion to what is left.
        least: so much of the size is to go each time, however small the rate has become.
        max_rise: λ rises at most by the factor exp(max_rise).
        max_fall: λ falls at most by the factor exp(−max_fall).
        end: no less than this is aimed at.

    Raises:
        OptionError: a value is not positive.
    """

    def __init__(
        self,
        size: float,
        *,
        first_lam: float,
        rate: float,
        slow_below: float = 0.0,
        least: float = 0.0,
        max_rise: float = 0.15,
        max_fall: float = 0.7,
        end: float = 0.0,
    ) -> None:
        given = {"size": size, "first_lam": first_lam, "rate": rate, "max_rise": max_rise}
        for name, value in given.items():
            if not value > 0:
                raise OptionError(name, expected="positive", got=value)
        self.lam = first_lam
        self._rate = rate
        self._slow_below = slow_below
        self._least = least
        self._max_rise = max_rise
        self._max_fall = max_fall
        self._end = end
        self._aim = float(size)

    def state_dict(self) -> dict[str, float]:
        """Return λ and the aim."""
        return {"lam": self.lam, "aim": self._aim}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Go on from a state."""
        self.lam, self._aim = state["lam"], state["aim"]

    def aim(self, size: float) -> None:
        """Set the next aim: a share below the last one, or below what is left."""
        slow = min(1.0, size / self._slow_below) if self._slow_below else 1.0
        last = min(self._aim, size)
        self._aim = max(
            self._end, min(last * math.exp(-self._rate * slow), last - self._least), LEAST_AIM
        )

    def correct(self, size: float) -> None:
        """Raise λ where the network is larger than aimed at, lower it where it is smaller.

        It falls faster than it rises: what has died is lost.
        """
        error = math.log(size / self._aim) if size > 0 else -math.inf
        gain = 2.0 if error > 0 else 4.0
        self.lam *= math.exp(max(-self._max_fall, min(self._max_rise, gain * error)))


class TargetControl:
    """Steers λ until a network is no larger than its target, and then no longer pushes.

    Attributes:
        reached: whether it is there; λ is 0 from then on.

    Args:
        target: what to reach.
        size: now, in the target's measure.
    """

    def __init__(self, target: Target, size: float) -> None:
        self.reached = size <= target.size
        self._target = target
        self._given_up = False
        self._control = LambdaControl(
            size,
            first_lam=target.first_lam,
            rate=target.rate / CORRECTIONS,
            max_rise=MAX_RISE / CORRECTIONS,
            # So that the last steps are small next to the target.
            end=target.size * 0.98,
        )
        self._control.aim(size)

    @property
    def lam(self) -> float:
        """The penalty to use now, in loss per unit of gate."""
        return 0.0 if self.reached or self._given_up else self._control.lam

    def state_dict(self) -> dict[str, Any]:
        """Return where the steering stands."""
        flags = {"reached": self.reached, "given_up": self._given_up}
        return {**flags, "control": self._control.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self.reached, self._given_up = state["reached"], state["given_up"]
        self._control.load_state_dict(state["control"])

    def give_up(self) -> None:
        """Push no longer, as nothing is left that could go."""
        self._given_up = True

    def correct(self, size: float) -> None:
        """Look at the size that λ has led to, in the target's measure, and choose the next λ."""
        self.reached = self.reached or size <= self._target.size
        if not self.reached:
            self._control.correct(size)
            self._control.aim(size)
