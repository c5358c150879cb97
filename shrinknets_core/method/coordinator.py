"""The method step by step: which λ is in force, the gates' update, and collection when it pays."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from shrinknets_core.errors import OptionError
from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.tracing import Trace
from shrinknets_core.method.control import CORRECTIONS, TargetControl
from shrinknets_core.method.counting import Count, Counter, uses_per_entry
from shrinknets_core.method.deaths import find_collapsed
from shrinknets_core.method.layout import Layout
from shrinknets_core.method.norms import scales
from shrinknets_core.method.optimizers import Optimizers
from shrinknets_core.method.options import Rule, ShrinkOptions, Target
from shrinknets_core.method.prices import group_prices
from shrinknets_core.method.rules import Proximal, Subgradient


class Gated(Protocol):
    """What the method needs from the one who owns model and groups."""

    model: nn.Module
    groups: list[Group]

    def tensors(self) -> Mapping[str, Tensor]:
        """Return parameters and buffers by their first names."""
        ...

    def traces(self) -> Sequence[Trace]:
        """Return the model's traces, evaluation first."""
        ...

    def collect(self, *holders: torch.optim.Optimizer) -> object:
        """Remove dead features."""
        ...

    def seconds(self, lost: Group | None = None) -> float:
        """Measure a forward pass without gates, with half of a group cut away if one is given."""
        ...


class Coordinator:
    """Trains the gates of one model.

    Attributes:
        lam: λ in loss per unit of gate, before the ramp; settable at any time.
        options: how.

    Args:
        gated: the owner of model and groups, held weakly.
        lam: the penalty to start with.
        options: how.
        target: a size to steer λ to; then `lam` is not looked at.
        optimizers: those whose state collections cut.
        generator: draws the initial gates of the subgradient rule, on the CPU.

    Raises:
        OptionError: λ is negative, or there is a target with the subgradient rule.
    """

    def __init__(
        self,
        gated: Gated,
        *,
        lam: float,
        options: ShrinkOptions,
        target: Target | None,
        optimizers: Optimizers,
        generator: torch.Generator | None = None,
    ) -> None:
        self._gated = weakref.ref(gated)
        self.options = options
        self._lam = 0.0
        self.lam = lam
        self._target = target
        self._steps = 0
        self._warming = False
        self._control: TargetControl | None = None
        self._uses = uses_per_entry([t for t in gated.traces() if not t.training])
        self.after_collection()
        self._optimizers = optimizers
        self._rule = self._make_rule(gated, generator)
        if options.warmup_steps and options.rule is Rule.PROXIMAL:
            self._warming = True
            self._hold(hold=True)

    def _make_rule(self, gated: Gated, generator: torch.Generator | None) -> Proximal | Subgradient:
        options = self.options
        if options.rule is Rule.SUBGRADIENT:
            if self._target is not None:
                raise OptionError("target", expected="none with the subgradient rule", got="one")
            return Subgradient(gated.groups, options, generator=generator)
        latency = _latency(gated)
        prices = group_prices(
            self._layout, self._uses, options.price, exponent=options.exponent, latency=latency
        )
        return Proximal(gated.groups, options, prices=prices, scales=self._scales)

    @property
    def lam(self) -> float:
        """The penalty λ at full strength, in loss per unit of gate."""
        if self._control is not None:
            return self._control.lam
        return self._lam

    @lam.setter
    def lam(self, value: float) -> None:
        if not 0 <= value < float("inf"):
            raise OptionError("lam", expected="at least 0 and finite", got=value)
        self._lam = value

    @property
    def lam_now(self) -> float:
        """The penalty in force at this step, ramp included."""
        since = self._steps - self.options.warmup_steps
        if since < 0:
            return 0.0
        ramp = self.options.ramp_steps
        return self.lam * min(1.0, (since + 1) / (ramp + 1))

    @property
    def done(self) -> bool:
        """Whether the target is reached or can't be; gates are no longer trained then."""
        return self._control is not None and self._control.lam == 0

    def step(self, scaler: GradScaler | None = None) -> None:
        """Move the gates once; to be called after each step of the weights' optimiser.

        Waits for the device only every `check_steps` steps, where it collects if that pays.

        Raises:
            OptionError: an optimiser holds the gates as well.
        """
        if self._steps == 0:
            self._check_optimizers()
        if self._steps >= self.options.warmup_steps and not self.done:
            if self._warming:
                self._warming = False
                self._hold(hold=False)
            if self._target is not None and self._control is None:
                self._control = TargetControl(self._target, self._measure())
            self._rule.step(self.lam_now, scaler)
            self._check()
        else:
            for group in self._owner().groups:
                group.filter.theta.grad = None
        self._steps += 1

    def penalty(self) -> Tensor:
        """Return what the subgradient rule adds to the loss, a scalar.

        Raises:
            OptionError: the rule is another.
        """
        if not isinstance(self._rule, Subgradient):
            raise OptionError("rule", expected="'subgradient' for a penalty", got="proximal")
        return self._rule.penalty(self.lam_now)

    def end_epoch(self) -> None:
        """Give up the gates at 0, where their removal waits for the end of an epoch."""
        self._rule.end_epoch()

    def state_dict(self) -> dict[str, Any]:
        """Return what gates and weights don't tell: steps, λ, prices, the way to a target."""
        control = None if self._control is None else self._control.state_dict()
        rule = self._rule.state_dict()
        return {"steps": self._steps, "lam": self._lam, "rule": rule, "control": control}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; call it when the model has the shapes that it was taken with."""
        self._steps = state["steps"]
        self._lam = state["lam"]
        self._rule.load_state_dict(state["rule"])
        self._warming = self._warming and self._steps <= self.options.warmup_steps
        self._hold(hold=self._warming)
        if state["control"] is not None:
            assert self._target is not None
            self._control = TargetControl(self._target, self._measure())
            self._control.load_state_dict(state["control"])

    def count(self) -> Count:
        """Count what lives; waits for the device once."""
        return self._counter.count()

    def collapsed(self) -> list[str]:
        """Name the groups that only their floor keeps alive; waits for the device once."""
        return find_collapsed(self._owner().groups)

    def collect_if_it_pays(self) -> bool:
        """Collect where the share of the parameters that are dead is worth it; waits once."""
        if self.count().reclaimable < self.options.collect_share:
            return False
        self._owner().collect(*self._optimizers.found())
        return True

    def after_collection(self) -> None:
        """Look anew at where features are."""
        gated = self._owner()
        self._layout = Layout(gated.model, gated.tensors(), gated.groups)
        self._counter = Counter(self._layout, self._uses)

    def _owner(self) -> Gated:
        gated = self._gated()
        assert gated is not None
        return gated

    def _scales(self) -> dict[Group, Tensor]:
        return scales(self._layout)

    def _hold(self, *, hold: bool) -> None:
        """Stop computing the gates' gradients, or start again.

        In distributed training they are computed all the time, as each process expects the same
        parameters to get gradients for as long as it lives.
        """
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        for group in self._owner().groups:
            group.filter.theta.requires_grad_(not hold or distributed)
            group.filter.theta.grad = None

    def _check(self) -> None:
        """Look at sizes, when it is time for that."""
        options = self.options
        if (self._steps + 1) % options.check_steps == 0:
            self.collect_if_it_pays()
        interval = max(1, options.steps_per_epoch // CORRECTIONS)
        if self._control is not None and (self._steps + 1) % interval == 0:
            self._control.correct(self._measure())
            groups = self._owner().groups
            if len(self.collapsed()) == len(groups):
                self._control.give_up()
            if self.done:
                self._hold(hold=True)

    def _measure(self) -> float:
        """Return the size in the target's measure."""
        assert self._target is not None
        if self._target.measure == "milliseconds":
            gated = self._owner()
            gated.collect(*self._optimizers.found())
            seconds = gated.seconds()
            if 1e3 * seconds <= self._target.size:
                # One lucky measurement must not end it.
                seconds = max(seconds, gated.seconds())
            return 1e3 * seconds
        count = self.count()
        match self._target.measure:
            case "features":
                return count.num_features
            case "parameters":
                return count.size.parameters
            case _:
                return count.size.macs

    def _check_optimizers(self) -> None:
        if self.options.rule is not Rule.PROXIMAL:
            return
        gates = {id(group.filter.theta) for group in self._owner().groups}
        for optimizer in self._optimizers.found():
            if any(id(p) in gates for g in optimizer.param_groups for p in g["params"]):
                raise OptionError(
                    "optimizer",
                    expected="one made with `shrinker.parameters()`, which leaves out the gates",
                    got=f"{type(optimizer).__name__} over the gates too",
                )


def _latency(gated: Gated) -> Callable[[Group], float]:
    """Return a function that measures what one feature of a group costs, in seconds."""
    full: list[float] = []

    def per_feature(group: Group) -> float:
        if not full:
            full.append(gated.seconds())
        return max(0.0, full[0] - gated.seconds(group)) / (group.size - group.size // 2)

    return per_feature
