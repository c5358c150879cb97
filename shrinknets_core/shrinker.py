"""The Shrinker: puts gates on any module, and removes what dies."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from shrinknets_core.bypassing import Bypass, make_branches
from shrinknets_core.copies import Copies
from shrinknets_core.cutting import Collected, ModelCut, find_remainder, spare
from shrinknets_core.discovery import Discovery, draw_part
from shrinknets_core.errors import OptionError
from shrinknets_core.explaining import explain, find_reasons
from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.graph import FlowGraph, analyse, first_names
from shrinknets_core.flow.tracing import Call, Inputs, arguments, stored_tensors
from shrinknets_core.flow.windows import find_windows
from shrinknets_core.gating import Gating
from shrinknets_core.method.options import ShrinkOptions, Target
from shrinknets_core.method.stepping import Stepping, round_up
from shrinknets_core.probing import differ, find_liars, outputs, repeatable_modes
from shrinknets_core.surgery import forget, plan_optimizer


class Shrinker(Stepping):
    """Gates the features of any module, and removes those that die.

    Args:
        model: gets hooks and filters, in place; its outputs stay the same.
        example_inputs: what to trace it with: a tensor, positional arguments or keyword arguments.
        where: tells by its name whether a group may be gated; by default all are.
        lam: λ, the penalty in loss per unit of gate, that `step` works with.
        options: how `step` shrinks the model.
        target: a size to steer λ to, in place of a λ.
    """

    def __init__(
        self,
        model: nn.Module,
        example_inputs: Inputs,
        *,
        where: Callable[[str], bool] | None = None,
        lam: float = 1e-3,
        options: ShrinkOptions | None = None,
        target: Target | None = None,
    ) -> None:
        self.model = model
        self.refused: dict[str, str] = {}
        self.failures: list[str] = []
        self.groups: list[Group] = []
        self._copies = Copies()
        tensors = stored_tensors(model)
        names = set(first_names(tensors).values())
        self._tensors = {name: tensor for name, tensor in tensors.items() if name in names}
        self._prepare(example_inputs, lam=lam, options=options, target=target)
        graph = analyse(model, example_inputs)
        self.refused.update(graph.untraced)
        self._build(graph, example_inputs, where)

    def _build(self, graph: FlowGraph, inputs: Inputs, where: Callable[[str], bool] | None) -> None:
        found = Discovery(self.model, self._tensors, graph)
        self.graph, self._widening = found.graph, found.widening
        self.failures = [failure for flow in found.graph.flows for failure in flow.failures]
        groups = [group for group in found.groups if group.size > 1]
        groups += make_branches(self.model, found.graph, groups, self._tensors)
        self.groups = [group for group in groups if where is None or where(group.name)]
        for group in self.groups:
            first = self._tensors[(group.slots or group.gated)[0].tensor]
            dtype = first.dtype if first.dtype.is_floating_point else torch.float32
            group.filter.to(device=first.device, dtype=dtype)
        self._reasons = find_reasons(found.graph, self._tensors, self.groups)
        self._gating = Gating(self.model, self.groups, find_windows(found.graph.traces))
        self._probe(inputs)

    def _probe(self, inputs: Inputs) -> None:
        """Remove a part of everything for a moment; give up groups that change the outputs."""
        call = arguments(inputs)
        modes = repeatable_modes(self.model, call)
        trials = {False: self._removal_changes, True: self._bypass_changes}
        for is_branch, changes in trials.items():
            tried = [group for group in self.groups if (group.bypass is not None) == is_branch]
            for group in find_liars(partial(changes, call, modes), tried):
                self.refused[group.name] = "a trial of its removal changed the outputs"
                self._gating.drop(group)
                self.groups.remove(group)

    @torch.no_grad()
    def _removal_changes(self, call: Call, modes: Sequence[bool], groups: Sequence[Group]) -> bool:
        """Kill and cut a part of each group; puts everything back."""
        rng = torch.Generator().manual_seed(0)
        removed = spare(groups, {id(group): draw_part(group.size, rng) for group in groups})
        gates = [group.filter.theta.detach().clone() for group in groups]
        for group in groups:
            group.filter.theta[removed[id(group)].to(group.filter.theta.device)] = 0
        before = outputs(self.model, call, modes)
        undo = self._remove(groups, removed, ())
        try:
            return differ(before, outputs(self.model, call, modes))
        except Exception:  # noqa: BLE001  (a model that no longer runs is changed)
            return True
        finally:
            undo()
            for group, gate in zip(groups, gates, strict=True):
                group.filter.theta.copy_(gate)

    @torch.no_grad()
    def _bypass_changes(self, call: Call, modes: Sequence[bool], branches: Sequence[Group]) -> bool:
        """Kill branches and leave them out; puts everything back."""
        for group in branches:
            group.filter.theta.zero_()
        before = outputs(self.model, call, modes)
        applied: list[Bypass] = []
        gone = {slot.tensor for group in branches for slot in group.gated}
        try:
            for bypass in [group.bypass for group in branches if group.bypass is not None]:
                gone |= bypass.tensors
                bypass.apply()
                applied.append(bypass)
            self._gating.install(without=gone)
            return differ(before, outputs(self.model, call, modes))
        except Exception:  # noqa: BLE001  (a model that no longer runs is changed)
            return True
        finally:
            for bypass in reversed(applied):
                bypass.undo()
            for group in branches:
                group.filter.theta.fill_(1)
            self._gating.install()

    def collect(self, *holders: torch.optim.Optimizer) -> Collected:
        """Remove all dead features from the model and from the optimisers' state.

        Raises:
            OptionError: an optimiser has state that can't be cut; nothing has changed then.
        """
        removed: dict[int, Tensor] = {}
        for group in self.groups:
            lost = group.filter.alive == 0
            if group.bypass is not None or bool(lost.all()):
                lost[int(group.filter.theta.argmax())] = False
            removed[id(group)] = round_up(lost.cpu(), self.options.round_to)
        removed = spare(self.groups, removed)
        report = {g.name: int(removed[id(g)].sum()) for g in self.groups}
        if any(report.values()):
            self._remove(self.groups, removed, holders)
        for name, size in self._remove_branches(holders).items():
            report[name] += size
        if any(report.values()):
            self._copies.renew(self.model)
            self._after_collection()
        return Collected(removed=report)

    def follow(self, copy: nn.Module) -> None:
        """Let a copy of the model, such as a running average of its weights, lose what it loses.

        Collections cut its tensors too, in place, and `finish` folds its own gates into them. It is
        held weakly.

        Args:
            copy: made of the model as it is now, with its gates: `copy.deepcopy(model)`, or
                `AveragedModel(model).module`.

        Raises:
            OptionError: its tensors have other names or shapes.
        """
        self._copies.add(self.model, copy)

    def _remove_branches(self, holders: Sequence[torch.optim.Optimizer]) -> dict[str, int]:
        """Leave dead branches out; returns what went, by the name of the group."""
        dead = [g for g in self.groups if g.bypass is not None and g.alive == 0]
        if not dead:
            return {}
        report: dict[str, int] = {}
        self._gating.unregister()
        for branch in dead:
            assert branch.bypass is not None
            gone = branch.bypass.tensors
            forget(holders, [self._tensors[name] for name in gone if name in self._tensors])
            branch.bypass.apply()
            self._tensors = {n: t for n, t in self._tensors.items() if n not in gone}
            for group in self.groups:
                group.slots = tuple(slot for slot in group.slots if slot.tensor not in gone)
                group.gated = tuple(slot for slot in group.gated if slot.tensor not in gone)
                left = any(slot.tensor in self._tensors for slot in (*group.slots, *group.gated))
                if group is branch or not left:
                    report[group.name] = group.size
        self.groups = [group for group in self.groups if group.name not in report]
        self._gating.register(self.groups)
        return report

    def _remove(
        self,
        groups: Sequence[Group],
        removed: dict[int, Tensor],
        holders: Sequence[torch.optim.Optimizer],
    ) -> Callable[[], None]:
        """Cut features from everything, all or nothing; returns what undoes it for the model."""
        remainder = find_remainder(groups, removed)
        cut = ModelCut(self.model, self._tensors, self._widening, remainder)
        by_identity = {id(self._tensors[name]): c for name, c in remainder.tensors.items()}
        for group in groups:
            own = {0: torch.nonzero(~removed[id(group)]).flatten()}
            for tensor in group.filter.tensors():
                cut.operation.plan(tensor, own)
                by_identity[id(tensor)] = own
        for holder in holders:
            plan_optimizer(cut.operation, holder, by_identity)
        self._copies.plan(cut.operation, self.model, by_identity)
        places = [(group, group.slots, group.gated) for group in self.groups]
        cut.apply()
        for group in self.groups:
            group.follow(removed.get(id(group)), remainder.tensors | remainder.vectors)
        self._gating.install()

        def undo() -> None:
            cut.undo()
            for group, slots, gated in places:
                group.slots, group.gated = slots, gated
            self._gating.install()

        return undo

    def state_dict(self) -> dict[str, Any]:
        """Return what the model's own state dict doesn't tell: what was removed, λ, the schedule.

        Tensors and plain values only. Together with the model's and the optimisers' it is a
        checkpoint: load this one first, which gives a freshly built model its shapes.
        """
        kept = {group.name: group.filter.feature_ids.cpu().clone() for group in self.groups}
        return {"kept": kept, "method": self.method.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Bring a freshly built model to the shapes of a checkpoint, and go on from there.

        Then load the model's state dict, make the optimisers, and load theirs. Changes model and
        groups in place.

        Raises:
            OptionError: the checkpoint is of another model, or features have been removed already.
        """
        kept = state["kept"]
        known = {group.name for group in self.groups}
        fresh = all(group.size == len(group.members) for group in self.groups)
        if not set(kept) <= known or not fresh:
            raise OptionError(
                "state",
                expected=f"a checkpoint of this model, before any removal, with groups {known}",
                got=f"groups {set(kept)}",
            )
        method = self.method
        for group in self.groups:
            if group.bypass is not None and group.name not in kept:
                group.kill([0])
        self._remove_branches(())
        removed = {
            id(group): ~torch.isin(group.filter.feature_ids.cpu(), kept[group.name])
            for group in self.groups
        }
        self._remove(self.groups, removed, ())
        self._after_collection()
        method.load_state_dict(state["method"])

    def explain(self) -> str:
        """Return a report in words: each group with its size, reach and cost; why the rest stays.

        Waits for the device.
        """
        return explain(self.groups, self._reasons, self.refused)

    def finish(self) -> nn.Module:
        """Collect, fold the gates into the weights, and leave a plain module."""
        if self.groups:
            self.collect()
            self._copies.fold(self._gating)
            self._gating.fold()
            self._copies.renew(self.model)
            self.groups = []
        self._stop()
        return self.model

    def folded(self) -> dict[str, Tensor]:
        """Return all tensors by their first names as `finish` would leave them; changes nothing.

        Tensors without gates are the model's own.
        """
        tensors = {name: tensor.detach() for name, tensor in self._tensors.items()}
        return {**tensors, **self._gating.folded()} if self.groups else tensors

    def parameters(self) -> list[nn.Parameter]:
        """Return all parameters but the gates."""
        return [t for t in self._tensors.values() if isinstance(t, nn.Parameter)]
