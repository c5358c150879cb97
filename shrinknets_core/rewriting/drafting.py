"""Writes down one module's forward pass, given all recorded calls of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from shrinknets_core.rewriting.generating import write_forward
from shrinknets_core.rewriting.planning import Key, Plan, make_plan
from shrinknets_core.rewriting.reading import Reading
from shrinknets_core.rewriting.recorder import Recorder
from shrinknets_core.rewriting.runs import Run
from shrinknets_core.rewriting.tracked import RewritingError


@dataclass
class Draft:
    """A new forward pass for one module.

    Attributes:
        text: its code.
        labels: what each of its sizes counts.
        ties: label vectors that must stay equally long.
        watched: all labels that it is about.
    """

    text: str
    labels: list[Tensor]
    ties: list[tuple[Tensor, Tensor]]
    watched: list[Tensor] = field(default_factory=list)


def write_draft(runs: list[Run], readings: list[Reading]) -> Draft | None:
    """Write one module's forward pass; None if nothing has to change.

    Raises:
        RewritingError: its calls differ, or something can't be written down.
    """
    plans: dict[bool, list[Plan]] = {}
    recorders: dict[bool, Recorder] = {}
    for run, reading in zip(runs, readings, strict=True):
        plans.setdefault(run.training, []).append(make_plan(reading))
        first = recorders.setdefault(run.training, run.recorder)
        if first is not run.recorder and _code(first) != _code(run.recorder):
            raise RewritingError("its code does other things from call to call")
    if all(plan.is_empty for several in plans.values() for plan in several):
        return None
    if len({_code(recorder) for recorder in recorders.values()}) == 1:
        together = [plan for several in plans.values() for plan in several]
        plans = dict.fromkeys(recorders, together)
    merged = {training: _merged(several) for training, several in plans.items()}
    labels, ties, numbers = _numbered(merged, plans)
    text = write_forward(recorders, merged, numbers)
    watched = [v for several in plans.values() for plan in several for v in plan.watched]
    return Draft(text=text, labels=labels, ties=ties, watched=watched)


def _code(recorder: Recorder) -> str:
    return str(recorder.graph)


def _merged(plans: list[Plan]) -> Plan:
    """Return the one plan of several calls of the same code."""
    first = plans[0]
    for plan in plans[1:]:
        if plan.counts.keys() != first.counts.keys() or plan.constants != first.constants:
            raise RewritingError("what has to change in it differs from call to call")
        for key, labels in plan.counts.items():
            if len(labels) != len(first.counts[key]):
                raise RewritingError("its sizes differ from call to call")
    dropped = set().union(*(plan.dropped for plan in plans))
    return Plan(counts=first.counts, constants=first.constants, dropped=dropped)


def _numbered(
    merged: Mapping[bool, Plan], plans: Mapping[bool, list[Plan]]
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]], dict[bool, dict[Key, int]]]:
    """Number all sizes; equal code in both modes has one number for each."""
    labels: list[Tensor] = []
    ties: list[tuple[Tensor, Tensor]] = []
    numbers: dict[bool, dict[Key, int]] = {}
    shared = len({id(several) for several in plans.values()}) == 1
    for training, plan in merged.items():
        if shared and numbers:
            numbers[training] = next(iter(numbers.values()))
            continue
        numbers[training] = {}
        for key, vector in plan.counts.items():
            numbers[training][key] = len(labels)
            labels.append(vector)
            ties.extend((vector, other.counts[key]) for other in plans[training][1:])
    return labels, ties, numbers
