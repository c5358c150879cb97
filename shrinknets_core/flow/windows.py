"""Windows: the modules during whose forward passes stored tensors are read."""

from collections.abc import Sequence

from torch import fx

from shrinknets_core.flow.tracing import Trace


def find_windows(traces: Sequence[Trace]) -> dict[str, str]:
    """Return for each stored tensor the innermost module during whose forward pass it is read.

    That is the last one that all uses are called through and that owns the tensor, directly or not:
    a module may read its own tensors and hand them on.
    """
    stacks: dict[str, list[list[str]]] = {}
    for trace in traces:
        for node in trace.graph.nodes:
            if node.op == "placeholder" and node.name in trace.stored:
                uses = stacks.setdefault(trace.stored[node.name], [])
                uses.extend(_stack(user) for user in node.users)
    return {name: _window(name, found) for name, found in stacks.items()}


def _stack(node: fx.Node) -> list[str]:
    stack = node.meta.get("nn_module_stack") or {}
    return [path.partition("@")[0] for path, _ in stack.values()]


def _window(name: str, stacks: list[list[str]]) -> str:
    window = ""
    for level in zip(*stacks, strict=False):
        if len(set(level)) > 1:
            break
        if name.startswith(f"{level[0]}."):
            window = level[0]
    return window
