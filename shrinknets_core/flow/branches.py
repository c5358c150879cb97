"""Branches: what a skip connection passes, and can therefore go as a whole (learned depth)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from torch import fx
from torch.utils._pytree import tree_leaves

from shrinknets_core.flow.flow import Flow, schema_name
from shrinknets_core.flow.graph import FlowGraph
from shrinknets_core.flow.labels import FIXED, Site, Value
from shrinknets_core.flow.tracing import Trace, module_path


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One side of a sum, which could be left out.

    Attributes:
        path: of the module that adds.
        number: of the sum among the sums that this module's own code makes, from 0.
        side: which of the two terms the branch is.
        sites: where a gate of 0 makes all of the branch 0.
        tensors: the stored tensors that nothing but the branch uses.
        cuts: sets of classes; a branch is constant once all of one set are dead.
        is_written: whether something changes the sum in place later on, which must not change the
            other term.
    """

    path: str
    number: int
    side: int
    sites: frozenset[Site]
    tensors: frozenset[str]
    cuts: tuple[frozenset[int], ...]
    is_written: bool


def find_branches(graph: FlowGraph) -> list[Branch]:
    """Find the branches that are the same in all traces of the whole model."""
    found = [_branches(flow, one, graph) for flow, one in zip(graph.flows, graph.traces,
             strict=True) if one.path == ""]  # fmt: skip
    if len(found) != len(graph.traces) or not found:
        return []
    shared = set.intersection(*(set(branches) for branches in found))
    return [
        replace(branch, is_written=any(branches[key].is_written for branches in found))
        for key, branch in found[0].items()
        if key in shared
    ]


Key = tuple[str, int, int, frozenset[Site], frozenset[str]]


def _branches(flow: Flow, trace: Trace, graph: FlowGraph) -> dict[Key, Branch]:
    result: dict[Key, Branch] = {}
    counts: dict[str, int] = {}
    repeated: set[str] = set()
    for node in trace.graph.nodes:
        if not _is_sum(node):
            continue
        path = module_path(node)
        number = counts.get(path, 0)
        counts[path] = number + 1
        if "@" in path:
            repeated.add(path.partition("@")[0])
            continue
        candidates = [_branch(flow, trace, graph, node, side) for side in (0, 1)]
        present = [(len(c.tensors), c) for c in candidates if c is not None]
        if present:
            branch = max(present, key=lambda pair: pair[0])[1]
            branch = replace(branch, path=path, number=number)
            key = (path, number, branch.side, branch.sites, branch.tensors)
            result[key] = branch
    return {key: b for key, b in result.items() if b.path not in repeated}


def _is_sum(node: fx.Node) -> bool:
    if node.op != "call_function" or schema_name(node) != "add" or node.kwargs.get("alpha", 1) != 1:
        return False
    terms = node.args[:2]
    return len(terms) == 2 and all(isinstance(term, fx.Node) for term in terms)


def _branch(  # noqa: PLR0911  (each return is one condition)
    flow: Flow, trace: Trace, graph: FlowGraph, total: fx.Node, side: int
) -> Branch | None:
    last, skip = total.args[side], total.args[1 - side]
    assert isinstance(last, fx.Node)
    assert isinstance(skip, fx.Node)
    value = flow.terms[total][side] if total in flow.terms else None
    if last is skip or last.op != "call_function" or not isinstance(value, Value):
        return None
    if _shape(last) != _shape(total) or _shape(skip) != _shape(total):
        return None
    axes = [a for a in value.axes.values() if a.zeroed_by and bool((a.labels != FIXED).all())]
    if not axes:
        return None
    region = _region(last, total)
    if skip in region:
        return None
    tensors = {trace.stored[n.name] for n in region if n.op == "placeholder"}
    sites = min((a.zeroed_by for a in axes if a.zeroed_by), key=len)
    if not all(site.tensor in tensors for site in sites):
        return None
    cuts = _cuts(flow, graph, region, last)
    if not cuts:
        return None
    return Branch(
        path="",
        number=0,
        side=side,
        sites=sites,
        tensors=frozenset(tensors),
        cuts=tuple(cuts),
        is_written=_is_written(total),
    )


def _is_written(node: fx.Node) -> bool:
    """Tell whether an operation changes a value, or a view of it, in place."""
    for user in node.users:
        schema = getattr(user.target, "_schema", None)
        if schema is None:
            continue
        names = {argument.name: argument for argument in schema.arguments}
        given = [*zip(schema.arguments, user.args, strict=False)]
        given += [(names[name], value) for name, value in user.kwargs.items()]
        aliases = [
            a.alias_info for a, value in given if node in tree_leaves(value) and a.alias_info
        ]
        if any(alias.is_write for alias in aliases) or (aliases and _is_written(user)):
            return True
    return False


def _region(last: fx.Node, total: fx.Node) -> set[fx.Node]:
    """Return all nodes that feed nothing but the branch, its stored tensors included."""
    region = {last} if set(last.users) == {total} else set()
    pending = list(last.all_input_nodes) if region else []
    while pending:
        node = pending.pop()
        if node in region or not node.users or not set(node.users) <= region:
            continue
        if node.op == "placeholder" and not _is_stored(node):
            continue
        region.add(node)
        pending.extend(node.all_input_nodes)
        # A node that was looked at too early may belong to the region now.
        pending.extend(n for n in node.all_input_nodes if n not in region)
    return _grown(region)


def _grown(region: set[fx.Node]) -> set[fx.Node]:
    while True:
        more = {
            n
            for node in region
            for n in node.all_input_nodes
            if n not in region and n.users and set(n.users) <= region
            and (n.op != "placeholder" or _is_stored(n))
        }  # fmt: skip
        if not more:
            return region
        region |= more


def _is_stored(node: fx.Node) -> bool:
    return node.name.startswith(("p_", "b_", "c_"))


def _cuts(
    flow: Flow, graph: FlowGraph, region: set[fx.Node], last: fx.Node
) -> list[frozenset[int]]:
    """Find values whose features' death leaves nothing of the input in the branch.

    They are those without which the end of the branch can't be reached from its beginning.
    """
    calls = [node for node in flow.nodes() if node in region]
    entries = {n for n in calls if any(i not in region for i in n.all_input_nodes)}
    found: dict[frozenset[int], None] = {}
    removable = {c for unit in graph.units.members for c in unit}
    for node in calls:
        value = flow.value_of(node)
        if not isinstance(value, Value) or node is last:
            continue
        for axis in value.axes.values():
            classes = frozenset(graph.units.classes[axis.labels].tolist())
            if classes <= removable and classes not in found:
                carriers = {n for n in calls if _carries(flow, graph, n, classes)}
                if not _reaches(entries - carriers, last, region, carriers):
                    found[classes] = None
    return list(found)


def _carries(flow: Flow, graph: FlowGraph, node: fx.Node, classes: frozenset[int]) -> bool:
    value = flow.value_of(node)
    if not isinstance(value, Value):
        return False
    return any(
        set(graph.units.classes[axis.labels].tolist()) <= classes for axis in value.axes.values()
    )


def _reaches(
    starts: Iterable[fx.Node], end: fx.Node, region: set[fx.Node], closed: set[fx.Node]
) -> bool:
    pending, seen = list(starts), set(starts)
    while pending:
        node = pending.pop()
        if node is end:
            return True
        for user in node.users:
            if user in region and user not in closed and user not in seen:
                seen.add(user)
                pending.append(user)
    return False


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("val"), "shape", ()))
