"""What a Shrinker offers while a model is trained: steps, λ, sizes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from shrinknets_core.cutting import spare
from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.tracing import Inputs, Trace
from shrinknets_core.method.coordinator import Coordinator
from shrinknets_core.method.latency import forward_seconds
from shrinknets_core.method.optimizers import Optimizers
from shrinknets_core.method.options import Rule, ShrinkOptions, Target
from shrinknets_core.sizes import Size


class Stepping:
    """The training side of a Shrinker, which provides model, groups and surgery."""

    model: nn.Module
    groups: list[Group]
    _tensors: dict[str, Tensor]
    _inputs: Inputs
    _coordinator: Coordinator | None = None

    def _prepare(
        self, inputs: Inputs, *, lam: float, options: ShrinkOptions | None, target: Target | None
    ) -> None:
        """Keep what the first step will need, and look out for optimisers from now on."""
        self._inputs = inputs
        weights = [t for t in self._tensors.values() if isinstance(t, nn.Parameter)]
        self._optimizers = Optimizers(weights)
        self._wanted = (lam, ShrinkOptions() if options is None else options, target)
        self._generator: torch.Generator | None = None

    @property
    def method(self) -> Coordinator:
        """What trains the gates; made at first use."""
        if self._coordinator is None:
            lam, options, target = self._wanted
            self._coordinator = Coordinator(
                self,
                lam=lam,
                options=options,
                target=target,
                optimizers=self._optimizers,
                generator=self._generator,
            )
        return self._coordinator

    @property
    def options(self) -> ShrinkOptions:
        """How the network shrinks."""
        return self._wanted[1]

    @property
    def lam(self) -> float:
        """The penalty λ, in loss per unit of gate; settable at any time."""
        return self.method.lam

    @lam.setter
    def lam(self, value: float) -> None:
        self.method.lam = value

    def draw_gates(self, generator: torch.Generator) -> None:
        """Let the gates start as the paper's, θ ~ U(0, 1), from a CPU generator, in place."""
        self._generator = generator
        assert self._coordinator is None, "gates are drawn before anything else is asked for"
        assert self.options.rule is Rule.SUBGRADIENT
        _ = self.method

    def gates(self) -> list[nn.Parameter]:
        """Return the gates, one parameter per group, which only the paper's rule optimises."""
        return [group.filter.theta for group in self.groups]

    def step(self, scaler: GradScaler | None = None) -> None:
        """Move the gates once and collect when it pays; call it after `optimizer.step()`.

        Clears the gates' gradients. Waits for the device only every `check_steps` steps.

        Args:
            scaler: what scales the loss in mixed precision, as the gates' gradients are scaled with
                all others. Call this between `scaler.step(optimizer)` and `scaler.update()`. Where
                a gradient overflowed, no gate moves.

        Raises:
            OptionError: an optimiser holds the gates as well (proximal rule), or has state that
                can't be cut.
        """
        self.method.step(scaler)

    def end_epoch(self) -> None:
        """Tell that an epoch is over, for `removal="epoch_ends"`."""
        self.method.end_epoch()

    def penalty(self) -> Tensor:
        """Return λ Σ max(0, θ) to add to the loss, for the subgradient rule.

        Raises:
            OptionError: the rule is another.
        """
        return self.method.penalty()

    def size(self) -> Size:
        """Count parameters and MACs of the plain network with the features that live.

        MACs are those of weights for one example; waits for the device once.
        """
        return self.method.count().size

    def num_alive(self) -> dict[str, int]:
        """Count each group's living features, by its name; waits for the device once."""
        return {group.name: n for group, n in self.method.count().features.items()}

    def collapsed(self) -> list[str]:
        """Name the groups that have lost all features but those that `min_features` keeps."""
        return self.method.collapsed()

    def tensors(self) -> Mapping[str, Tensor]:
        """Return parameters and buffers by their first names."""
        return self._tensors

    def traces(self) -> Sequence[Trace]:
        """Return the model's traces, evaluation first; none where it couldn't be traced."""
        graph = getattr(self, "graph", None)
        return graph.traces if graph is not None else []

    def collect(self, *holders: torch.optim.Optimizer) -> object:
        """Remove dead features."""
        raise NotImplementedError

    def seconds(self, lost: Group | None = None) -> float:
        """Measure a forward pass with the example inputs, half of a group cut away if one is given.

        Gates multiply all the while: `finish` makes the model a little faster than this says.
        """
        if lost is None:
            return forward_seconds(self.model, self._inputs)
        half = torch.arange(lost.size) >= lost.size - lost.size // 2
        undo = self._remove([lost], spare([lost], {id(lost): half}), ())
        try:
            return forward_seconds(self.model, self._inputs)
        finally:
            undo()

    def _remove(
        self,
        groups: Sequence[Group],
        removed: dict[int, Tensor],
        holders: Sequence[torch.optim.Optimizer],
    ) -> Callable[[], None]:
        raise NotImplementedError

    def _after_collection(self) -> None:
        if self._coordinator is not None:
            self._coordinator.after_collection()

    def _stop(self) -> None:
        """Leave nothing behind once the model is plain."""
        self._optimizers.close()
        self._coordinator = None


def round_up(lost: Tensor, multiple: int) -> Tensor:
    """Keep dead features so that a multiple of features stays, or all: lost (num_features,) bool.

    Widths of a multiple of 8 or 16 fit the processor's vectors; a kept dead feature has gate 0.
    """
    kept = int((~lost).sum())
    more = min(-kept % multiple, len(lost) - kept)
    if more == 0:
        return lost
    lost = lost.clone()
    lost[torch.nonzero(lost).flatten()[:more]] = False
    return lost
