"""Writes the forward passes anew that would not follow when their features go."""

import dataclasses
from collections.abc import Iterable, Mapping

import torch
from torch import nn

from shrinknets_core.feature_groups import Group
from shrinknets_core.flow.flow import Flow, schema_name
from shrinknets_core.flow.graph import FlowGraph, follow
from shrinknets_core.flow.labels import Value
from shrinknets_core.flow.tracing import Trace
from shrinknets_core.flow.units import find_units
from shrinknets_core.flow.verification import SIZED
from shrinknets_core.rewriting.attention import (
    Attribute,
    can_replace,
    count_labels,
    replace,
    undo,
    watched_labels,
)
from shrinknets_core.rewriting.comparison import find_difference, run_again
from shrinknets_core.rewriting.drafting import Draft, write_draft
from shrinknets_core.rewriting.forwards import Forward
from shrinknets_core.rewriting.inspection import is_candidate
from shrinknets_core.rewriting.labels import LabelCounter
from shrinknets_core.rewriting.planning import ATTENTION
from shrinknets_core.rewriting.reading import Reading
from shrinknets_core.rewriting.runs import Run, place, record_runs
from shrinknets_core.rewriting.tracked import RewritingError

MAX_ROUNDS = 4


class Rewriter:
    """Rewrites a model's forward passes in place.

    Args:
        model: what is rewritten.

    Attributes:
        refused: modules that can't be rewritten, and why.
        drafts: the new forward passes that are in place.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.refused: dict[str, str] = {}
        self.drafts: dict[str, Draft] = {}
        self._attention: dict[str, list[Attribute]] = {}
        self._runs: dict[str, list[Run]] | None = None
        self._baseline: list[Trace] = []

    def rewrite(self, graph: FlowGraph) -> FlowGraph:
        """Rewrite what would not follow, and return the graph of the model as it is then.

        It is the given graph where there is nothing to do, or nothing that can be done.
        """
        if self._runs is None:
            self._baseline = graph.traces
            self._runs = {}
            for run in record_runs(self.model, graph.traces, self.refused):
                self._runs.setdefault(run.path, []).append(run)
        before = graph
        for _ in range(MAX_ROUNDS):
            drafts = self._draft(graph)
            if _texts(drafts) == _texts(self.drafts):
                return graph if graph is before else self._register(graph, drafts)
            self._install(drafts)
            traces = self._checked_traces()
            if not self.drafts:
                return before
            graph = follow(self.model, traces, before.untraced)
        self.restore(list(self.drafts))
        return before

    def restore(self, paths: Iterable[str]) -> None:
        """Give modules their own forward passes back."""
        for path in list(paths):
            del self.drafts[path]
            del self.model.get_submodule(path).__dict__["forward"]

    def prepare(self, graph: FlowGraph) -> FlowGraph:
        """Rewrite what a trial might not show, or what keeps features by how it is written."""
        self._replace_attention(graph)
        if self._attention:
            try:
                traces = [run_again(self.model, before) for before in graph.traces]
                graph = self._register(follow(self.model, traces, graph.untraced), {})
            except Exception:  # noqa: BLE001  (whatever the new code raises)
                self._restore_attention(list(self._attention))
        if any(map(_takes_scale_from_size, graph.flows)) or self._has_sizes(graph):
            return self.rewrite(graph)
        return graph

    def _has_sizes(self, graph: FlowGraph) -> bool:
        """Tell whether code of the model's own handles sizes of features that can go."""
        removable = torch.zeros(len(graph.units.classes), dtype=torch.bool)
        for unit in graph.units.members:
            removable[list(unit)] = True
        alive = ~removable[graph.units.classes]
        own = {path for path, module in self.model.named_modules() if is_candidate(module)}
        return any(
            not bool(alive[axis.labels].all())
            for flow in graph.flows
            for node in flow.nodes()
            if schema_name(node) in SIZED and place(node) in own
            for value in flow.values_at(node)
            for axis in value.axes.values()
        )

    def _replace_attention(self, graph: FlowGraph) -> None:
        used = {place(node) for flow in graph.flows for node in flow.nodes()}
        for path, module in self.model.named_modules():
            if path not in used or not can_replace(module):
                continue
            assert isinstance(module, nn.MultiheadAttention)
            if replaced := replace(self.model, module):
                self._attention[path] = replaced

    def _restore_attention(self, paths: Iterable[str]) -> None:
        for path in paths:
            undo(self._attention.pop(path))

    def restore_unused(self, graph: FlowGraph, groups: Iterable[Group]) -> bool:
        """Give modules their own code back in which nothing can go; tells whether there were any.

        groups: what can go.
        """
        removable = {c for group in groups for members in group.members for c in members}
        unused = [
            path
            for path, draft in self.drafts.items()
            if all(removable.isdisjoint(graph.units.classes[v].tolist()) for v in draft.watched)
        ]
        self.restore(unused)
        idle = [
            path
            for path in self._attention
            if all(removable.isdisjoint(graph.units.classes[v].tolist())
                   for v in watched_labels(graph, path))
        ]  # fmt: skip
        self._restore_attention(idle)
        return bool(unused or idle)

    def _draft(self, graph: FlowGraph) -> dict[str, Draft]:
        """Write down all forward passes that would not follow."""
        counter = LabelCounter(graph)
        nodes = [list(trace.graph.nodes) for trace in graph.traces]
        drafts: dict[str, Draft] = {}
        assert self._runs is not None
        for path, runs in self._runs.items():
            if path in self.refused or _inside(path, graph.book.wide):
                continue
            readings = [
                Reading(
                    recorder=run.recorder,
                    path=path,
                    flow=graph.flows[run.trace],
                    nodes=nodes[run.trace],
                    notes=run.notes,
                    stored=graph.axes,
                    names=set(graph.traces[run.trace].stored),
                    counter=counter,
                )
                for run in runs
            ]
            try:
                draft = write_draft(runs, readings)
            except RewritingError as refusal:
                self.refused[path] = str(refusal)
                continue
            if draft is not None:
                drafts[path] = draft
        return drafts

    def _install(self, drafts: dict[str, Draft]) -> None:
        self.restore(self.drafts)
        for path, draft in drafts.items():
            module = self.model.get_submodule(path)
            sizes = [len(labels) for labels in draft.labels]
            module.__dict__["forward"] = Forward(module, draft.text, sizes)
        self.drafts = dict(drafts)

    def _checked_traces(self) -> list[Trace]:
        """Trace the rewritten model; undo what does something else than before."""
        for _ in range(MAX_ROUNDS):
            traces, culprit = self._try()
            if culprit is None:
                return traces
            guilty = [culprit] if culprit in self.drafts else list(self.drafts)
            for path in guilty:
                self.refused[path] = "rewritten, it does something else"
            self.restore(guilty)
            if not self.drafts:
                break
        self.restore(self.drafts)
        return []

    def _try(self) -> tuple[list[Trace], str | None]:
        traces = []
        for before in self._baseline:
            try:
                after = run_again(self.model, before)
            except Exception:  # noqa: BLE001  (whatever the new code raises)
                return [], "?"
            different = find_difference(before, after)
            if different is not None:
                return [], place(different)
            traces.append(after)
        return traces, None

    def _register(self, graph: FlowGraph, drafts: dict[str, Draft]) -> FlowGraph:
        """Let the sizes be counted, and find the units anew."""
        attention = {}
        for path in self._attention:
            forward = vars(self.model.get_submodule(path))["forward"]
            found = count_labels(graph, forward)
            ties = [(vectors[0], other) for vectors in found for other in vectors[1:]]
            labels = [vectors[0] for vectors in found]
            attention[path] = Draft(text=forward.text, labels=labels, ties=ties)
        self.drafts.update(drafts)
        drafts = {**drafts, **attention}
        for draft in drafts.values():
            for one, other in draft.ties:
                graph.book.tie(one, other)
        graph = dataclasses.replace(graph, units=find_units(graph.book))
        for path, draft in drafts.items():
            module = self.model.get_submodule(path)
            seen: dict[tuple[int, ...], int] = {}
            same_as = []
            for number, vector in enumerate(draft.labels):
                classes = tuple(sorted(graph.units.classes[vector].tolist()))
                same_as.append(seen.setdefault(classes, number))
                if same_as[-1] == number:
                    graph.book.counts[f"{path}:{number}"] = vector
            forward = vars(module)["forward"]
            module.__dict__["forward"] = Forward(
                module, forward.text, forward.sizes, same_as=same_as, filename=forward.filename
            )
        return graph


def _takes_scale_from_size(flow: Flow) -> bool:
    """Tell whether there is attention without a scale, whose features could go otherwise."""
    for node in flow.nodes():
        if schema_name(node) == ATTENTION and node.kwargs.get("scale") is None:
            query = flow.value_of(node.all_input_nodes[0])
            if isinstance(query, Value) and query.axis(-1) is not None:
                return True
    return False


def _texts(drafts: Mapping[str, Draft]) -> dict[str, str]:
    return {path: draft.text for path, draft in drafts.items()}


def _inside(path: str, others: Iterable[str]) -> bool:
    return any(path == other or path.startswith(f"{other}.") for other in others)
