"""Learned depth: a dead branch leaves its module's code, and what only it used leaves the model."""

import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from shrinknets_core.feature_groups import Group, Slot
from shrinknets_core.filters import Filter
from shrinknets_core.flow.branches import Branch, find_branches
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import Site
from shrinknets_core.flow.tracing import stored_tensors
from shrinknets_core.rewriting.forwards import Forward
from shrinknets_core.rewriting.generating import body_of, imports_of
from shrinknets_core.widening import BUFFER

SUMS = {operator.add, operator.iadd, torch.add}
METHODS = {"add", "add_", "__add__", "__iadd__"}


class _OwnCode(fx.Tracer):
    """Traces one module's own code; its children are called, not entered."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


class BranchedCode:
    """A module's own forward pass, of which several branches can be left out.

    Args:
        model: owns the module.
        path: of the module.

    Attributes:
        module: it.
        prefix: of its tensors' names.
        left_out: the branches that are not run any more.

    Raises:
        Exception: whatever tracing the module's code raises.
        LookupError: its code can't be changed once more.
    """

    def __init__(self, model: nn.Module, path: str) -> None:
        self.module = model.get_submodule(path)
        self.prefix = f"{path}." if path else ""
        self.left_out: list[Branch] = []
        if "forward" in vars(self.module):
            raise LookupError("its code has been written anew")
        self._graphs = {mode: self._trace(training=mode) for mode in (False, True)}

    def _trace(self, *, training: bool) -> fx.Graph:
        before = self.module.training
        self.module.training = training
        try:
            return _OwnCode().trace(self.module)
        finally:
            self.module.training = before

    def without(self, branches: Sequence[Branch]) -> tuple[str, list[str]]:
        """Return the code without some branches, and the attributes that nothing needs then.

        Raises:
            LookupError: a sum is not found in the code.
        """
        graphs = {mode: _shortened(graph, branches) for mode, graph in self._graphs.items()}
        nodes = [node for graph in graphs.values() for node in graph.nodes]
        used = {str(n.target).split(".")[0] for n in nodes if n.op in {"call_module", "get_attr"}}
        lost = frozenset[str]().union(*(branch.tensors for branch in branches))
        own = {*self.module._parameters, *self.module._buffers}
        unused = [name for name in own - used if self.prefix + name in lost]
        unused += [
            name
            for name, child in self.module.named_children()
            if name not in used and _belongs(child, self.prefix + name, lost)
        ]
        return _text(graphs), unused

    def tensors(self, names: Sequence[str]) -> set[str]:
        """Return the full names of the tensors under some of the module's attributes."""
        return {
            self.prefix + tensor
            for tensor in stored_tensors(self.module)
            if tensor.split(".")[0] in names
        }


class Bypass:
    """One branch that can be left out of its module's forward pass.

    Args:
        code: of the module that adds.
        branch: what is left out.

    Raises:
        LookupError: the sum is not found in the code, or something else uses the branch's tensors.
    """

    def __init__(self, code: BranchedCode, branch: Branch) -> None:
        self._code = code
        self._branch = branch
        self._before: list[dict[str, Any]] = []
        if not branch.tensors <= self.tensors:
            raise LookupError("something else uses what belongs to the branch")

    @property
    def tensors(self) -> set[str]:
        """The names of the parameters and buffers that go when the branch is left out next."""
        return self._code.tensors(self._code.without([*self._code.left_out, self._branch])[1])

    def apply(self) -> None:
        """Leave the branch out, in place."""
        module = self._code.module
        self._before = [dict(part) for part in _parts(module)]
        self._code.left_out.append(self._branch)
        text, unused = self._code.without(self._code.left_out)
        for name in unused:
            delattr(module, name)
        module.__dict__["forward"] = Forward(module, text, ())

    def undo(self) -> None:
        """Put the branch back; of several in one module the last one that was left out first."""
        self._code.left_out.remove(self._branch)
        for part, before in zip(_parts(self._code.module), self._before, strict=True):
            part.clear()
            part.update(before)


def _parts(module: nn.Module) -> list[dict[str, Any]]:
    """Return the tables in which a module keeps its attributes."""
    return [module._modules, module._parameters, module._buffers, vars(module)]


def _belongs(child: nn.Module, path: str, lost: Collection[str]) -> bool:
    """Tell whether a child has tensors, all of them lost ones."""
    filters = {name for name, module in child.named_modules() if isinstance(module, Filter)}
    counters = {name for name, buffer in child.named_buffers() if buffer.dim() == 0}
    own = [
        name
        for name in stored_tensors(child)
        if (owner_and_name := name.rpartition("."))[0] not in filters
        and owner_and_name[2] != BUFFER
        and name not in counters
    ]
    return bool(own) and all(f"{path}.{name}" in lost for name in own)


def _shortened(graph: fx.Graph, branches: Sequence[Branch]) -> fx.Graph:
    """Return a copy of a graph in which each branch's sum is its other term."""
    short, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    short.output(short.graph_copy(graph, copies))
    sums = [copies[node] for node in graph.nodes if _is_sum(node)]
    for branch in branches:
        if branch.number >= len(sums):
            raise LookupError("the sum is not in the module's own code")
        total, skip = sums[branch.number], sums[branch.number].args[1 - branch.side]
        if branch.is_written:
            with short.inserting_after(total):
                skip = short.call_method("clone", (skip,))
        total.replace_all_uses_with(skip)  # type: ignore[arg-type]
    for branch in branches:
        short.erase_node(sums[branch.number])
    short.eliminate_dead_code(_has_effect)
    return short


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


def _text(graphs: Mapping[bool, fx.Graph]) -> str:
    """Return code that runs one graph in evaluation and the other in training."""
    code = {mode: graph.python_code("self") for mode, graph in graphs.items()}
    plain, training = body_of(code[False].src), body_of(code[True].src)
    imports = imports_of(code[False].globals, plain) | imports_of(code[True].globals, training)
    placeholders = [node for node in graphs[False].nodes if node.op == "placeholder"]
    signature = ", ".join(
        f"{node.target}={node.args[0]!r}" if node.args else str(node.target)
        for node in placeholders
    )
    head = [*sorted(imports), "", "", f"def forward(self, {signature}):"]
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
    codes: dict[str, BranchedCode] = {}
    found: list[tuple[Branch, Bypass]] = []
    for branch in find_branches(graph):
        try:
            if branch.path not in codes:
                codes[branch.path] = BranchedCode(model, branch.path)
            found.append((branch, Bypass(codes[branch.path], branch)))
        except Exception:  # noqa: BLE001, S112  (code that can't be traced keeps its branches)
            continue
    paths = [branch.path for branch, _ in found]
    result = []
    for position, (branch, bypass) in enumerate(found):
        number = f" {paths[:position].count(branch.path) + 1}" if (
            paths.count(branch.path) > 1) else ""  # fmt: skip
        name = f"{branch.path} (branch{number})".lstrip()
        result.append(_make_branch(name, branch, bypass, groups, tensors))
    return result


def _make_branch(
    name: str,
    branch: Branch,
    bypass: Bypass,
    groups: Sequence[Group],
    tensors: Mapping[str, Tensor],
) -> Group:
    gated = [
        Slot(tensor=site.tensor, axis=site.axis, index=_only(site, tensors[site.tensor]))
        for site in sorted(branch.sites)
    ]
    parameters = [tensors[t] for t in branch.tensors if isinstance(tensors[t], nn.Parameter)]
    group = Group(
        name,
        num_features=1,
        slots=(),
        gated=gated,
        readers=frozenset(),
        members=[frozenset()],
        cost=sum(parameter.numel() for parameter in parameters),
    )
    group.bypass = bypass
    group.filter.min_features = 0
    group.filter.protect()
    for inner in groups:
        if _is_inner(inner, branch, bypass):
            inner.branches.append(group)
    return group


def _only(site: Site, tensor: Tensor) -> Tensor:
    index = torch.full((tensor.shape[site.axis],), -1)
    index[site.start : site.stop] = 0
    return index


def _is_inner(group: Group, branch: Branch, bypass: Bypass) -> bool:
    """Tell whether nothing of the input is left in a branch once a whole group is dead."""
    own = {slot.tensor for slot in group.slots if not slot.tensor.endswith("#")}
    members = frozenset().union(*group.members)
    return own <= bypass.tensors and any(cut <= members for cut in branch.cuts)
