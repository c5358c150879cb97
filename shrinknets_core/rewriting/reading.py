"""One recorded forward pass beside the flow of labels through the same operations."""

import math
import operator
from collections.abc import Mapping
from typing import Any

from torch import Tensor, fx

from shrinknets_core.flow.flow import Flow
from shrinknets_core.flow.labels import Value
from shrinknets_core.rewriting.dims import is_fixed
from shrinknets_core.rewriting.labels import TRIALS, LabelCounter
from shrinknets_core.rewriting.recorder import Recorder

Path = tuple[Any, ...]
"""Where an argument of a node is: "args" or "kwargs", then positions and names."""
ARITHMETIC = {operator.__name__, math.__name__, "_operator"}


class Reading:
    """Tells for the nodes of a recorded graph what the flow knows about them.

    Args:
        recorder: recorded the forward pass.
        path: of the module.
        flow: the labels' flow through the trace.
        nodes: all nodes of that trace.
        notes: for each recorded node and way, which of those belong to it.
        stored: the labels of all stored tensors' axes.
        names: of the trace's placeholders of stored tensors.
        counter: counts labels.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        path: str,
        flow: Flow,
        nodes: list[fx.Node],
        notes: Mapping[tuple[str, str], list[int]],
        stored: Mapping[str, list[Tensor | None]],
        names: set[str],
        counter: LabelCounter,
    ) -> None:
        self.recorder = recorder
        self.flow = flow
        self.counter = counter
        self._path = path
        self._nodes = nodes
        self._notes = notes
        self._stored = stored
        self._names = names

    def operations(self, node: fx.Node) -> list[fx.Node]:
        """Return the trace's operations that a recorded node ran."""
        return [self._nodes[i] for i in sorted(self._notes.get((node.name, "made"), ()))]

    def value(self, operation: Any) -> Any:
        """Return what the flow knows of an operation's result."""
        return self.flow.value_of(operation) if isinstance(operation, fx.Node) else None

    def labels(self, size: fx.Node) -> Tensor | None:
        """Return the labels of the axis whose size a node reads; None if it has none."""
        source, dim = size.args
        assert isinstance(source, fx.Node)
        assert isinstance(dim, int)
        if source.op == "get_attr":
            axes = self._stored.get(f"{self._path}.{source.target}".lstrip("."))
            return None if axes is None else axes[dim]
        for i in self._notes.get((size.name, "measured"), ()):
            value = self.value(self._nodes[i])
            if isinstance(value, Value) and dim in value.axes:
                return value.axes[dim].labels
        return None

    def is_free(self, leaf: fx.Node) -> bool:
        """Tell whether a number may be another one for other inputs."""
        if not is_size(leaf):
            return True
        labels = self.labels(leaf)
        if labels is not None and self.counter.is_constant(labels):
            return False
        source, dim = leaf.args
        if source.op == "get_attr":  # type: ignore[union-attr]
            return False
        measured = [self._nodes[i] for i in self._notes.get((leaf.name, "measured"), ())]
        return not any(is_fixed(node, dim, self._names) for node in measured)  # type: ignore[arg-type]

    def leaves(self, node: fx.Node) -> list[fx.Node]:
        """Return what a number is computed from."""
        if self._is_arithmetic(node):
            found = [leaf for source in node.all_input_nodes for leaf in self.leaves(source)]
            return list(dict.fromkeys(found))
        return [node]

    def numbers(self, node: Any, changed: Mapping[tuple[str, Path], Any]) -> list[Any]:
        """Return what a number would be in each of the counter's trials.

        changed: arguments of nodes that would be replaced, by node and place, with their values in
            the trials.
        """
        if not isinstance(node, fx.Node):
            return [node] * TRIALS
        if is_size(node):
            labels = self.labels(node)
            if labels is not None:
                return list(self.counter.counts(labels))
        if not self._is_arithmetic(node):
            return self.numbers(self.recorder.numbers.get(node), changed)
        columns = [
            list(changed.get((node.name, ("args", i)), ())) or self.numbers(argument, changed)
            for i, argument in enumerate(node.args)
        ]
        return [_compute(node.target, row) for row in zip(*columns, strict=True)]

    def _is_arithmetic(self, node: fx.Node) -> bool:
        numbers = self.recorder.numbers
        return (
            node.op == "call_function"
            and getattr(node.target, "__module__", "") in ARITHMETIC
            and not node.kwargs
            and node in numbers
            and all(source in numbers for source in node.all_input_nodes)
        )


def _compute(function: Any, arguments: Any) -> Any:
    try:
        return function(*arguments)
    except (ArithmeticError, TypeError, ValueError):
        return None


def is_size(node: fx.Node) -> bool:
    """Tell whether a node reads a tensor's size."""
    return node.op == "call_method" and node.target == "size"
