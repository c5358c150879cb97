"""What has to change in a recorded forward pass, so that it follows when its features go."""

import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_flatten_with_path

from shrinknets_core.flow.flow import schema_name
from shrinknets_core.flow.labels import Value
from shrinknets_core.rewriting.decisions import Decision
from shrinknets_core.rewriting.reading import Path, Reading, is_size
from shrinknets_core.rewriting.slots import Slot, find_slots, get_at
from shrinknets_core.rewriting.tracked import RewritingError

Key = tuple[str, Path]
"""A recorded node and a place among its arguments."""
ATTENTION = "scaled_dot_product_attention"
SCALE_PLACE = 6
WITH_CONSTANTS = {"pad", "constant_pad_nd", ATTENTION, "addmm", "baddbmm"}
"""Operations whose numbers do not follow sizes, beside those that work entry by entry."""


@dataclass
class Plan:
    """Changes to one recorded graph.

    Attributes:
        counts: arguments that become the number of features left among labels, by place.
        constants: arguments that become what they were in the recorded run.
        dropped: checks that are left out: they would ask for sizes from before.
        watched: label vectors that all this is about.
    """

    counts: dict[Key, Tensor] = field(default_factory=dict)
    constants: dict[Key, Any] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    watched: list[Tensor] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing has to change."""
        return not (self.counts or self.constants or self.watched)


def make_plan(reading: Reading) -> Plan:
    """Find out what has to change.

    Raises:
        RewritingError: the code decides by sizes that may be other ones for other inputs.
    """
    plan = Plan()
    for node in reading.recorder.graph.nodes:
        slots = list(find_slots(reading, node))
        if slots and slots[0].piece and not any(reading.counter.shrinks(s.labels) for s in slots):
            continue
        for slot in slots:
            _fit(reading, slot, plan)
        _keep_numbers(reading, node, plan)
        _keep_scale(reading, node, plan)
    if not plan.is_empty or any(_is_broken(reading, d) for d in reading.recorder.decisions):
        for decision in reading.recorder.decisions:
            _judge(reading, decision, plan)
    return plan


def _fit(reading: Reading, slot: Slot, plan: Plan) -> None:
    """Let a size count what is left of its axis, unless it does already."""
    key = (slot.node.name, slot.path)
    if slot.piece:
        _count(plan, key, slot.labels)
        return
    given = get_at(slot.node, slot.path)
    expected = [slot.sign * n for n in reading.counter.counts(slot.labels)]
    if given is None or (given == -1 and slot.sign == 1):
        return
    if reading.numbers(given, _changed(reading, plan)) == expected:
        return
    if isinstance(given, fx.Node):
        if any(reading.is_free(leaf) for leaf in reading.leaves(given)):
            _fit_factor(reading, slot, given, plan)
            return
    elif given != slot.sign * len(slot.labels):
        return
    _count(plan, key, slot.labels if slot.before is None else slot.before)
    plan.watched.append(slot.labels)


def _count(plan: Plan, key: Key, labels: Tensor) -> None:
    plan.counts[key] = labels
    plan.watched.append(labels)


def _changed(reading: Reading, plan: Plan) -> dict[Key, list[int]]:
    return {key: list(reading.counter.counts(labels)) for key, labels in plan.counts.items()}


def _fit_factor(reading: Reading, slot: Slot, product: fx.Node, plan: Plan) -> None:
    """In a product with sizes of the inputs, such as batch times heads, change one factor."""
    expected = list(reading.counter.counts(slot.labels))
    for key, size in _factors(reading, product):
        labels = _repeated(reading, slot.labels, size)
        if labels is None or key in plan.counts:
            continue
        changed = {**_changed(reading, plan), key: list(reading.counter.counts(labels))}
        if reading.numbers(product, changed) == expected:
            _count(plan, key, labels)
            return


def _factors(reading: Reading, product: fx.Node) -> Iterator[tuple[Key, int]]:
    """Return the factors that are the same for all inputs, and how large they are."""
    if product.op != "call_function" or getattr(product.target, "__name__", "") != "mul":
        return
    for i, factor in enumerate(product.args):
        if isinstance(factor, int):
            yield (product.name, ("args", i)), factor
        elif isinstance(factor, fx.Node):
            yield from _factors(reading, factor)
            if not any(reading.is_free(leaf) for leaf in reading.leaves(factor)):
                yield (product.name, ("args", i)), reading.recorder.numbers[factor]


def _repeated(reading: Reading, labels: Tensor, size: int) -> Tensor | None:
    """Return the labels of an axis of this size that was merged with others into one."""
    if size < 2 or len(labels) % size:
        return None
    rest = len(labels) // size
    for outer in (n for n in range(1, rest + 1) if rest % n == 0):
        grid = labels.view(outer, size, rest // outer)
        if reading.counter.alike(grid, grid[:1, :, :1].expand_as(grid)):
            return grid[0, :, 0]
    return None


def _keep_numbers(reading: Reading, node: fx.Node, plan: Plan) -> None:
    """Numbers that are computed from sizes and enter arithmetic stay what they were."""
    operations = reading.operations(node)
    if node.op == "call_module" or node in reading.recorder.numbers or not operations:
        return
    if not all(_takes_numbers(operation) for operation in operations):
        return
    for place, value in tree_flatten_with_path({"args": node.args, "kwargs": node.kwargs})[0]:
        if not isinstance(value, fx.Node) or value not in reading.recorder.numbers:
            continue
        before = reading.recorder.numbers[value]
        if all(number == before for number in reading.numbers(value, {})):
            continue
        leaves = reading.leaves(value)
        if any(reading.is_free(leaf) for leaf in leaves):
            continue
        path: Path = tuple(getattr(step, "key", getattr(step, "idx", None)) for step in place)
        plan.constants[node.name, path] = before
        plan.watched.extend(_labels(reading, leaves))


def _takes_numbers(operation: fx.Node) -> bool:
    tags = getattr(operation.target, "tags", ())
    return torch.Tag.pointwise in tags or schema_name(operation) in WITH_CONSTANTS


def _keep_scale(reading: Reading, node: fx.Node, plan: Plan) -> None:
    """Attention without a scale takes it from the number of features: say what it was."""
    if getattr(node.target, "__name__", "") != ATTENTION or node.kwargs.get("scale") is not None:
        return
    if len(node.args) > SCALE_PLACE and node.args[SCALE_PLACE] is not None:
        return
    operation = next((o for o in reading.operations(node) if schema_name(o) == ATTENTION), None)
    query = reading.value(None if operation is None else operation.args[0])
    if not isinstance(query, Value) or (axis := query.axis(-1)) is None:
        return
    path = ("args", SCALE_PLACE) if len(node.args) > SCALE_PLACE else ("kwargs", "scale")
    plan.constants[node.name, path] = 1 / math.sqrt(query.shape[-1])
    plan.watched.append(axis.labels)


def _is_broken(reading: Reading, decision: Decision) -> bool:
    """Tell whether the code would decide otherwise after features went."""
    numbers: list[Any] = reading.numbers(decision.node, {})
    if not decision.exact:
        numbers = [number is None or bool(number) for number in numbers]
    return any(number != decision.value for number in numbers)


def _judge(reading: Reading, decision: Decision, plan: Plan) -> None:
    """Leave out a check, keep it, or give up."""
    leaves = list(dict.fromkeys(leaf for n in decision.depends for leaf in reading.leaves(n)))
    free = [leaf for leaf in leaves if reading.is_free(leaf)]
    if not free:
        plan.dropped.add(decision.guard.name)
        if _is_broken(reading, decision):
            plan.watched.extend(_labels(reading, leaves))
        return
    if _is_broken(reading, decision):
        raise RewritingError("its code decides by sizes of the inputs and of its own")
    if decision.asserted:
        return
    if decision.exact or any(not _is_spatial(leaf) for leaf in free):
        raise RewritingError(f"its code decides by {decision.node.name}, which may change")


def _is_spatial(leaf: fx.Node) -> bool:
    """Tell whether a leaf is a size, and not that of the first axis, along which inputs lie.

    Numbers among the arguments are taken for such sizes as well.
    """
    while leaf.target is operator.getitem and isinstance(leaf.args[0], fx.Node):
        leaf = leaf.args[0]
    return leaf.op == "placeholder" or (is_size(leaf) and bool(leaf.args[1] != 0))


def _labels(reading: Reading, leaves: list[fx.Node]) -> list[Tensor]:
    found = [reading.labels(leaf) for leaf in leaves if is_size(leaf)]
    return [labels for labels in found if labels is not None and reading.counter.shrinks(labels)]
