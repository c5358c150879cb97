"""Learned depth: a dead branch leaves its module's code, and what only it used leaves the model."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from shrinknets_core.feature_groups import Group, Slot
from shrinknets_core.flow.branches import Branch, find_branches
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import Site
from shrinknets_core.flow.tracing import stored_tensors
from shrinknets_core.rewriting.forwards import Forward
from shrinknets_core.rewriting.generating import body_of, imports_of

SUMS = {operator.add, operator.iadd, torch.add}
METHODS = {"add", "add_", "__add__", "__iadd__"}


class _OwnCode(fx.Tracer):
    """Traces one module's own code; its children are called, not entered."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


class Bypass:
    """One branch that can be left out of its module's forward pass.

    Args:
        model: owns the module.
        branch: what is left out.

    Attributes:
        path: of the module that adds.
        tensors: the names of the parameters and buffers that go with the branch.

    Raises:
        Exception: whatever tracing the module's code raises.
        LookupError: the sum is not found in it.
    """

    def __init__(self, model: nn.Module, branch: Branch) -> None:
        self.path = branch.path
        self._module = model.get_submodule(branch.path)
        if "forward" in vars(self._module):
            raise LookupError("its code has been written anew")
        graphs = {mode: self._shortened(branch, mode) for mode in (False, True)}
        bodies = {mode: graph.python_code("self").src for mode, graph in graphs.items()}
        self._text = _text(graphs, bodies)
        called = {n.target for g in graphs.values() for n in g.nodes if n.op == "call_module"}
        read = {str(n.target) for g in graphs.values() for n in g.nodes if n.op == "get_attr"}
        self._children = self._unused(branch, called, read)
        prefix = f"{branch.path}." if branch.path else ""
        gone = tuple(f"{prefix}{name}." for name in self._children)
        self.tensors = {name for name in stored_tensors(model) if name.startswith(gone)} if (
            gone) else set()  # fmt: skip
        if not branch.tensors <= self.tensors | self._kept_elsewhere(branch):
            raise LookupError("something else uses what belongs to the branch")
        self._taken: dict[str, nn.Module] = {}

    def _kept_elsewhere(self, branch: Branch) -> set[str]:
        """Return tensors that the branch alone uses but its module holds itself."""
        prefix = f"{branch.path}." if branch.path else ""
        return {prefix + name for name in (*self._module._parameters, *self._module._buffers)}

    def apply(self) -> None:
        """Leave the branch out, in place."""
        self._taken = dict(self._module._modules)  # type: ignore[arg-type]
        for name in self._children:
            delattr(self._module, name)
        self._module.__dict__["forward"] = Forward(self._module, self._text, ())

    def undo(self) -> None:
        """Put the branch back."""
        del self._module.__dict__["forward"]
        self._module._modules.clear()
        self._module._modules.update(self._taken)
        self._taken = {}

    def _shortened(self, branch: Branch, training: bool) -> fx.Graph:
        before = self._module.training
        self._module.training = training
        try:
            graph = _OwnCode().trace(self._module)
        finally:
            self._module.training = before
        sums = [node for node in graph.nodes if _is_sum(node)]
        if branch.number >= len(sums):
            raise LookupError("the sum is not in the module's own code")
        total = sums[branch.number]
        total.replace_all_uses_with(total.args[1 - branch.side])
        graph.erase_node(total)
        graph.eliminate_dead_code(_has_effect)
        return graph

    def _unused(self, branch: Branch, called: set[Any], read: set[str]) -> list[str]:
        """Return the children that nothing calls any more and that belong to the branch alone."""
        prefix = f"{branch.path}." if branch.path else ""
        used = {str(target).split(".")[0] for target in called} | {r.split(".")[0] for r in read}
        result = []
        for name, child in self._module.named_children():
            own = {f"{prefix}{name}.{tensor}" for tensor in stored_tensors(child)}
            own = {t for t in own if not _is_ours(t)}
            if name not in used and own and own <= branch.tensors | _counters(child, prefix + name):
                result.append(name)
        return result


def _counters(child: nn.Module, prefix: str) -> set[str]:
    """Return buffers without features, such as the number of batches that a norm has seen."""
    return {f"{prefix}.{n}" for n, buffer in child.named_buffers() if buffer.dim() == 0}


def _is_ours(name: str) -> bool:
    return any(part.startswith("filter") for part in name.split(".")[:-1])


def _has_effect(node: fx.Node) -> bool:
    """Tell whether code is needed even if nobody uses its result: it may change a tensor."""
    name = str(node.target)
    changes = node.op == "call_method" and name.endswith("_") and not name.startswith("__")
    return changes or node.op in {"placeholder", "output"}


def _is_sum(node: fx.Node) -> bool:
    if node.op == "call_method":
        named = node.target in METHODS
    else:
        named = node.op == "call_function" and node.target in SUMS
    terms: Sequence[Any] = node.args[:2]
    return named and len(terms) == 2 and all(isinstance(term, fx.Node) for term in terms)


def _text(graphs: dict[bool, fx.Graph], bodies: dict[bool, str]) -> str:
    """Return code that runs one graph in evaluation and the other in training."""
    imports: set[str] = set()
    for mode, graph in graphs.items():
        imports |= imports_of(graph.python_code("self").globals, body_of(bodies[mode]))
    placeholders = [node for node in graphs[False].nodes if node.op == "placeholder"]
    signature = ", ".join(
        f"{node.target}={node.args[0]!r}" if node.args else str(node.target)
        for node in placeholders
    )
    head = [*sorted(imports), "", "", f"def forward(self, {signature}):"]
    plain, training = body_of(bodies[False]), body_of(bodies[True])
    if plain == training:
        return "\n".join([*head, plain]) + "\n"
    indented = "\n".join(f"    {line}" if line else line for line in training.splitlines())
    return "\n".join([*head, "    if self.training:", indented, plain]) + "\n"


def make_branches(
    model: nn.Module, graph: FlowGraph, groups: Sequence[Group], tensors: Mapping[str, Tensor]
) -> list[Group]:
    """Make a group of one feature for each branch that can be left out.

    Its gate multiplies the end of the branch; the groups inside kill it when they die wholly.
    """
    result = []
    for branch in find_branches(graph):
        try:
            bypass = Bypass(model, branch)
        except Exception:  # noqa: BLE001, S112  (code that can't be traced keeps its branches)
            continue
        gated = [
            Slot(tensor=site.tensor, axis=site.axis, index=_only(site, tensors[site.tensor]))
            for site in sorted(branch.sites)
        ]
        cost = sum(tensors[name].numel() for name in branch.tensors if isinstance(
            tensors[name], nn.Parameter))  # fmt: skip
        name = f"{branch.path} (branch)" if branch.path else "(branch)"
        group = Group(
            name, num_features=1, slots=(), gated=gated, readers=frozenset(),
            members=[frozenset()], cost=cost,
        )  # fmt: skip
        group.bypass = bypass
        group.filter.min_features = 0
        group.filter.protect()
        for inner in groups:
            if _is_inner(inner, branch, bypass):
                inner.branches.append(group)
        result.append(group)
    return result


def _only(site: Site, tensor: Tensor) -> Tensor:
    index = torch.full((tensor.shape[site.axis],), -1)
    index[site.start : site.stop] = 0
    return index


def _is_inner(group: Group, branch: Branch, bypass: Bypass) -> bool:
    """Tell whether nothing of the input is left in a branch once a whole group is dead."""
    own = {slot.tensor for slot in group.slots if not slot.tensor.endswith("#")}
    members = frozenset().union(*group.members)
    return own <= bypass.tensors and any(cut <= members for cut in branch.cuts)
