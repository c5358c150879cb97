"""The flow of labels through one trace: runs each operation's rule and keeps what it learns."""

import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map

from shrinknets_core.flow.labels import FIXED, Axis, LabelBook, Site, Value
from shrinknets_core.flow.tracing import Trace, module_path

MAX_ENTRIES = 1 << 16
"""Label arrays larger than this are not split into slices: their features are frozen."""
MAX_KNOWN = 1 << 20
"""Constants up to this many entries are computed, as they may be indices."""

TOGETHER = "a statistic over the features"
"""Why features stay that a module looks at all together."""

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for ATen operations; in-place forms go by the same name."""

    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


class Flow:
    """Runs one trace on labels.

    Rules are called with this object, then the operation's arguments, in which values stand for
    tensors.

    Args:
        book: where labels, ties, relations and demands are written down; shared by all traces.
        axes: the labels of each stored tensor's axes, by name; shared by all traces.
    """

    def __init__(self, book: LabelBook, axes: dict[str, list[Tensor | None]]) -> None:
        self.book = book
        self.axes = axes
        self.node: fx.Node
        self.shapes: list[tuple[int, ...]] = []
        self.failures: list[str] = []
        self.counts: dict[fx.Node, Tensor] = {}
        self.statistics: list[tuple[fx.Node, Tensor]] = []
        self.skipped: set[fx.Node] = set()
        self.terms: dict[fx.Node, list[Any]] = {}
        self._values: dict[fx.Node, Any] = {}
        self._roots: dict[fx.Node, fx.Node] = {}

    def run(
        self, trace: Trace, stored: dict[str, Tensor], wide: Mapping[fx.Node, tuple[fx.Node, int]]
    ) -> None:
        """Let labels flow through a trace.

        stored: the tensors behind the names.
        wide: for operations of modules that run at full width, what the module gets and the axis
            of its features.
        """
        for node in trace.graph.nodes:
            self.node = node
            if node in wide:
                self._pass(node, *wide[node])
            elif node.op == "placeholder":
                self._values[node] = self._place(node, trace, stored)
            elif node.op == "call_function":
                self._call(node)
            elif node.op == "output":
                for value in self._tensors(node.args):
                    self.freeze_all(value, "an output of the network")
            else:
                self._values[node] = None

    def _pass(self, node: fx.Node, source: fx.Node, axis: int) -> None:
        """Lead features past a module that sees the dead ones as zeros."""
        value = self._values[source]
        self.skipped.add(node)
        features = value.axes.get(axis)
        if features is not None:
            self.book.demand(features.labels, [(value, axis)], TOGETHER)
        self.freeze_all(value.without([axis]), TOGETHER)
        if features is None or tuple(node.meta["val"].shape) != value.shape:
            self._values[node] = None
            return
        self._values[node] = Value(shape=value.shape, axes={axis: Axis(labels=features.labels)})

    def value_of(self, node: fx.Node) -> Any:
        """Return what the flow knows of a node's result."""
        return self._values.get(node)

    def nodes(self) -> list[fx.Node]:
        """Return the operations, in the order in which they ran."""
        return [node for node in self._values if node.op == "call_function"]

    def values_at(self, node: fx.Node) -> list[Value]:
        """Return all values that an operation reads or makes."""
        return [*self._tensors((node.args, node.kwargs)), *self._tensors([node])]

    # -- for the rules -----------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the operation's only result."""
        return self.shapes[0]

    def freeze(self, axis: Axis | None, reason: str) -> None:
        """Keep the features of an axis for ever."""
        if axis is not None:
            if reason == TOGETHER:
                self.statistics.append((self.node, axis.labels))
            self.book.freeze(axis.labels, f"{reason} ({self._place_name()})")

    def freeze_all(self, value: Value, reason: str) -> None:
        """Keep all features of a value for ever."""
        for axis in value.axes.values():
            self.freeze(axis, reason)

    def count(self, value: Value) -> None:
        """Note that the operation has a number of groups, one for each entry of the first axis."""
        if (axis := value.axes.get(0)) is not None:
            self.counts[self.node] = axis.labels
            self.book.counts.setdefault(module_path(self.node), axis.labels)

    def tie(self, parts: Iterable[tuple[Value, int]]) -> Axis | None:
        """Tie axes that run side by side; axes of size 1 are stretched and have no say."""
        present = [(v, d % len(v.shape)) for v, d in parts if v.shape and v.shape[d] > 1]
        axes = [v.axes.get(d) for v, d in present]
        living = [axis for axis in axes if axis is not None]
        if not living:
            return None
        for other in living[1:]:
            self.book.tie(living[0].labels, other.labels)
        if len(living) < len(axes):
            self.freeze(living[0], "meets a tensor of fixed size")
        return living[0]

    def settle(
        self, shape: tuple[int, ...], layers: Sequence[tuple[Tensor, frozenset[Site] | None]]
    ) -> Value:
        """Turn label arrays of this shape into labels per axis.

        Features must fill whole slices of every tensor: an array that varies along several axes is
        split into one new label per slice and axis, of which either kills the entry.
        """
        found: dict[int, list[Axis]] = {}
        for array, zeroed_by in layers:
            varying = _varying(array)
            core = array[tuple(slice(None) if d in varying else 0 for d in range(array.dim()))]
            if not varying:
                self.book.freeze(core, f"a single feature is picked out ({self._place_name()})")
            elif len(varying) == 1:
                found.setdefault(varying[0], []).append(Axis(labels=core, zeroed_by=zeroed_by))
            elif core.numel() > MAX_ENTRIES:
                self.book.freeze(core, f"too many entries to follow ({self._place_name()})")
            else:
                for d, labels in zip(varying, self._slices(core), strict=True):
                    found.setdefault(d, []).append(Axis(labels=labels, zeroed_by=zeroed_by))
        return Value(shape=shape, axes={d: self._merge(axes) for d, axes in found.items()})

    def _slices(self, array: Tensor) -> list[Tensor]:
        """Give each different slice along each axis a label; any of them kills the entry."""
        causes = []
        for d in range(array.dim()):
            _, inverse = torch.unique(
                array.movedim(d, 0).reshape(array.shape[d], -1), dim=0, return_inverse=True
            )
            causes.append(self.book.fresh(int(inverse.max()) + 1)[inverse])
        grids = torch.meshgrid(*causes, indexing="ij")
        rows = torch.stack([array.reshape(-1), *(grid.reshape(-1) for grid in grids)], dim=1)
        rows = torch.unique(rows, dim=0)
        self.book.relate(rows[:, 0], rows[:, 1:])
        return causes

    def _merge(self, axes: list[Axis]) -> Axis:
        """Describe several kinds of features along one axis by one label per combination."""
        if len(axes) == 1:
            return axes[0]
        causes = torch.stack([axis.labels for axis in axes], dim=1)
        combinations, inverse = torch.unique(causes, dim=0, return_inverse=True)
        labels = self.book.fresh(len(combinations))
        self.book.relate(labels, combinations)
        return Axis(labels=labels[inverse], zeroed_by=union(axis.zeroed_by for axis in axes))

    # -- running -----------------------------------------------------------------------------

    def _place_name(self) -> str:
        path = module_path(self.node)
        target = self.node.target
        name = target._schema.name if hasattr(target, "_schema") else self.node.op
        return f"{name.removeprefix('aten::')} in {path}" if path else name.removeprefix("aten::")

    def _place(self, node: fx.Node, trace: Trace, stored: dict[str, Tensor]) -> Any:
        fake = node.meta.get("val")
        if not isinstance(fake, Tensor):
            return None
        shape = tuple(int(size) for size in fake.shape)
        name = trace.stored.get(node.name)
        if name is None and node.name in trace.constants:
            return Value(shape=shape, known=_small(trace.constants[node.name]))
        if name is None:
            return Value(shape=shape)
        if name not in self.axes:
            self.axes[name] = [self.book.fresh(n) if n > 1 else None for n in shape]
        axes = {
            d: Axis(labels=labels, zeroed_by=frozenset({Site(name, d, 0, shape[d])}))
            for d, labels in enumerate(self.axes[name])
            if labels is not None
        }
        tensor = stored[name]
        known = None if isinstance(tensor, torch.nn.Parameter) else _small(tensor)
        return Value(shape=shape, axes=axes, known=known, name=name)

    def _call(self, node: fx.Node) -> None:
        if node.target is operator.getitem:
            source: Any
            index: Any
            source, index = node.args
            value = self._values[source]
            self._values[node] = value[index] if isinstance(value, (list, tuple)) else None
            self._roots[node] = self._root(source)
            return
        self.shapes = [
            tuple(int(size) for size in fake.shape)
            for fake in tree_leaves(node.meta.get("val"))
            if isinstance(fake, Tensor)
        ]
        args, kwargs = tree_map(
            lambda part: self._values.get(part) if isinstance(part, fx.Node) else part,
            (list(node.args), dict(node.kwargs)),
            is_leaf=lambda part: isinstance(part, fx.Node),
        )
        if schema_name(node) == "add":
            # A sum in place changes what is known of its first term.
            self.terms[node] = list(args[:2])
        result = self._apply(node, args, kwargs)
        self._values[node] = result
        self._note_aliases(node, result)

    def _apply(self, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Any:
        name = schema_name(node)
        known = self._compute(node, args, kwargs)
        function = RULES.get(name)
        if function is None and torch.Tag.pointwise in getattr(node.target, "tags", ()):
            function = RULES["pointwise"]
        if function is None:
            return self._refuse(node)
        try:
            result = function(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001  (a rule that fails must not stop anybody's work)
            self.failures.append(f"{name}: {error!r}")
            return self._refuse(node)
        if known is not None and isinstance(result, Value):
            return Value(shape=result.shape, axes=result.axes, known=known)
        return result

    def _refuse(self, node: fx.Node) -> Any:
        """Freeze all features that an unknown operation sees; its results have none."""
        for value in self._tensors((node.args, node.kwargs)):
            self.freeze_all(value, "an operation that is not understood")
        blank = tree_map(
            lambda fake: Value(shape=tuple(fake.shape)) if isinstance(fake, Tensor) else None,
            node.meta.get("val"),
        )
        if schema_name(node, keep_underscore=True).endswith("_"):
            for value in self._tensors(node.args[:1]):
                return value
        return blank

    def _compute(self, node: fx.Node, args: list[Any], kwargs: dict[str, Any]) -> Tensor | None:
        """Compute what doesn't depend on the inputs, as it may be an index."""
        values = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Value)]
        if any(v.known is None for v in values) or len(self.shapes) != 1:
            return None
        if torch.Size(self.shape).numel() > MAX_KNOWN or _is_random(node):
            return None
        if getattr(node.target, "_schema", None) is None or node.target._schema.is_mutable:  # type: ignore[union-attr]
            return None
        args, kwargs = tree_map(
            lambda v: v.known if isinstance(v, Value) else v,
            (args, {k: v for k, v in kwargs.items() if k != "device"}),
            is_leaf=lambda v: isinstance(v, Value),
        )
        try:
            with torch.no_grad():
                result = node.target(*args, **kwargs)  # type: ignore[operator]
        except Exception:  # noqa: BLE001  (whatever the operation raises: then it is unknown)
            return None
        return result if isinstance(result, Tensor) else None

    def _note_aliases(self, node: fx.Node, result: Any) -> None:
        """Remember views; after a change in place nothing is zero that the change may reach."""
        first = next((a for a in node.all_input_nodes[:1]), None)
        if first is None:
            return
        target = node.target
        returns = getattr(getattr(target, "_schema", None), "returns", ())
        if any(r.alias_info is not None for r in returns):
            self._roots[node] = self._root(first)
        if not schema_name(node, keep_underscore=True).endswith("_"):
            return
        if isinstance(result, Value):
            keeps = all(axis.zeroed_by is not None for axis in result.axes.values())
            self._values[first] = result
            if not keeps:
                self._forget_zeros(self._root(first))

    def _forget_zeros(self, root: fx.Node) -> None:
        for node in list(self._values):
            if self._root(node) is root:
                self._values[node] = tree_map(
                    _without_zeros, self._values[node], is_leaf=lambda v: isinstance(v, Value)
                )

    def _root(self, node: Any) -> Any:
        while node in self._roots:
            node = self._roots[node]
        return node

    def _tensors(self, tree: Any) -> list[Value]:
        nodes = [part for part in tree_leaves(tree) if isinstance(part, fx.Node)]
        values = itertools.chain.from_iterable(
            tree_leaves(self._values.get(node), is_leaf=lambda v: isinstance(v, Value))
            for node in nodes
        )
        return [value for value in values if isinstance(value, Value)]


def schema_name(node: fx.Node, *, keep_underscore: bool = False) -> str:
    """Return an operation's name without name space; in-place forms lose their underscore."""
    schema = getattr(node.target, "_schema", None)
    name = str(schema.name if schema is not None else node.target).split("::")[-1]
    if keep_underscore or name.startswith("_") or not name.endswith("_"):
        return name
    return name[:-1]


def union(parts: Iterable[frozenset[Site] | None]) -> frozenset[Site] | None:
    """Return what zeroes all parts: all of their sites, or None where one can't be zeroed."""
    sites: frozenset[Site] = frozenset()
    for part in parts:
        if part is None:
            return None
        sites |= part
    return sites


def _without_zeros(value: Any) -> Any:
    if not isinstance(value, Value):
        return value
    axes = {d: Axis(labels=axis.labels) for d, axis in value.axes.items()}
    return Value(shape=value.shape, axes=axes)


def _varying(array: Tensor) -> list[int]:
    """Return the axes along which a label array changes."""
    result = []
    for d in range(array.dim()):
        if array.shape[d] > 1 and array.stride(d) != 0:
            if bool((array != array.narrow(d, 0, 1)).any()):
                result.append(d)
            else:
                array = array.narrow(d, 0, 1).expand_as(array)
    return result


def _small(tensor: Tensor) -> Tensor | None:
    return tensor.detach().cpu() if tensor.numel() <= MAX_KNOWN else None


def _is_random(node: fx.Node) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


__all__ = ["FIXED", "RULES", "Flow", "rule", "schema_name", "union"]
