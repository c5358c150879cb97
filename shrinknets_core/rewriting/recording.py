"""The graph that a recorder keeps: nodes for calls, and what belongs to them in a trace."""

import contextlib
import operator
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import get_proxy_mode

from shrinknets_core.rewriting.tracked import ATTRIBUTES, Pieces, RewritingError, Sizes, Tracked

MARK = "shrinknets_recorded"
"""Under this key nodes of a trace note which recorded nodes they belong to."""
TESTS = {operator.eq, operator.is_, operator.not_, operator.truth, len}
PLAIN = (int, float, bool, complex, str, type(None), type(...), torch.dtype, torch.layout,
         torch.memory_format)  # fmt: skip


class Recording:
    """A graph of calls in the making.

    Args:
        module: whose forward pass it is.
        number: names this run of it in the notes on the trace's nodes.

    Attributes:
        graph: the calls.
        numbers: the nodes that compute numbers, and what these are.
        pure: nodes that can be left out where nobody reads them.
        busy: above 0 while calls are carried out.
    """

    def __init__(self, module: nn.Module, number: int) -> None:
        self.module = module
        self.number = number
        self.graph = fx.Graph()
        self.numbers: dict[fx.Node, Any] = {}
        self.pure: set[fx.Node] = set()
        self.busy = 0
        self._names = {id(tensor): name for name, tensor in _tensors(module)}
        self._stored: dict[int, Tracked] = {}

    def add(self, kind: str, target: Any, args: Any, kwargs: Any = None) -> fx.Node:
        """Add a call, with arguments as nodes have them."""
        node = self.graph.create_node(kind, target, args, kwargs or {})
        if kind == "get_attr" or (kind == "call_function" and target in TESTS):
            self.pure.add(node)
        return node

    def item(self, node: fx.Node, key: Any) -> fx.Node:
        """Add the choice of one item."""
        item = self.graph.call_function(operator.getitem, (node, key))
        self.pure.add(item)
        return item

    def track(self, node: fx.Node, value: Any) -> Tracked:
        """Let a value stand for a node."""
        if isinstance(value, (int, float)) or type(value) in ATTRIBUTES:
            self.pure.add(node)
        if isinstance(value, (int, float)):
            self.numbers[node] = value
        if not isinstance(value, Tensor):
            return Tracked(self, node, value)  # type: ignore[arg-type]
        with self.working():
            return Tracked(self, node, value, tuple(value.shape))  # type: ignore[arg-type]

    def wrap(self, node: fx.Node, value: Any) -> Any:
        """Track a result; plain containers come as such, with each item tracked."""
        if value is None or type(value) is str:
            return value
        if type(value) in (tuple, torch.Size):
            return tuple(self.wrap(self.item(node, i), part) for i, part in enumerate(value))
        if type(value) is list:
            return [self.wrap(self.item(node, i), part) for i, part in enumerate(value)]
        if type(value) is dict:
            return {key: self.wrap(self.item(node, key), part) for key, part in value.items()}
        return self.track(node, value)

    def lift(self, tensor: Any) -> Tracked:
        """Track a tensor that the module holds."""
        if type(tensor) is Tracked:
            return tensor
        name = self._names.get(id(tensor))
        if name is None:
            raise RewritingError("uses a tensor that comes from elsewhere")
        if id(tensor) not in self._stored:
            self._stored[id(tensor)] = self.track(self.add("get_attr", name, ()), tensor)
        return self._stored[id(tensor)]

    def lower(self, tree: Any) -> Any:  # noqa: PLR0911  (one for each kind)
        """Turn arguments into what nodes of a graph can hold."""
        if type(tree) in (Tracked, Pieces):
            return tree.node
        if isinstance(tree, Tensor):
            return self.lift(tree).node
        if type(tree) in (tuple, Sizes, torch.Size):
            return tuple(self.lower(part) for part in tree)
        if type(tree) is list:
            return [self.lower(part) for part in tree]
        if type(tree) is dict:
            return {key: self.lower(part) for key, part in tree.items()}
        if type(tree) is slice:
            return slice(*(self.lower(p) for p in (tree.start, tree.stop, tree.step)))
        if type(tree) in PLAIN:
            return tree
        return self._lower_record(tree)

    def _lower_record(self, tree: Any) -> fx.Node:
        """Turn a dataclass or a named tuple into a node that makes one."""
        if is_dataclass(tree) and not isinstance(tree, type):
            parts = {f.name: self.lower(getattr(tree, f.name)) for f in fields(tree)}
            return self.graph.call_function(type(tree), (), parts)
        if isinstance(tree, tuple) and hasattr(tree, "_fields"):
            return self.graph.call_function(type(tree), tuple(self.lower(p) for p in tree))
        raise RewritingError(f"hands on a {type(tree).__name__}")

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Carry out calls, which are not to be recorded themselves."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    @contextlib.contextmanager
    def doing(self, node: fx.Node) -> Iterator[None]:
        """Do what a node does: all operations that the trace sees meanwhile are its own."""
        tracer = getattr(get_proxy_mode(), "tracer", None)
        before = None if tracer is None else next(iter(reversed(tracer.graph.nodes)), None)
        with self.working():
            yield
        for new in () if tracer is None else reversed(tracer.graph.nodes):
            if new is before:
                break
            self.mark(new, node, "made")

    def mark_source(self, tensor: Tensor, node: fx.Node) -> None:
        """Note on the trace's node that made a tensor that a size of it was read."""
        tracer = getattr(get_proxy_mode(), "tracer", None)
        source = None if tracer is None else tracer.tensor_tracker.get(tensor)
        if source is not None:
            self.mark(source.proxy.node, node, "measured")

    def mark(self, node: fx.Node, recorded: fx.Node, how: str) -> None:
        """Note on a trace's node which recorded node it belongs to."""
        node.meta.setdefault(MARK, []).append((self.number, recorded.name, how))


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for path, part in module.named_modules():
        prefix = f"{path}." if path else ""
        for name, value in vars(part).items():
            if isinstance(value, Tensor):
                yield prefix + name, value
    yield from module.named_buffers(remove_duplicate=False)
    yield from module.named_parameters(remove_duplicate=False)
