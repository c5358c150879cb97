"""Records the forward passes of all modules of a model that hold code of their own."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from shrinknets_core.flow.tracing import Trace, module_path
from shrinknets_core.rewriting.comparison import find_difference, run_again
from shrinknets_core.rewriting.inspection import find_obstacle, is_candidate
from shrinknets_core.rewriting.recorder import Recorder
from shrinknets_core.rewriting.recording import MARK

MAX_ATTEMPTS = 4
Notes = dict[tuple[str, str], list[int]]
"""For a recorded node's name and a way, which of the trace's nodes belong to it."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One recorded call of a module.

    Attributes:
        path: of the module.
        training: its mode.
        trace: the number of the trace in which it ran.
        recorder: what it recorded.
        notes: which of the trace's nodes belong to its nodes.
    """

    path: str
    training: bool
    trace: int
    recorder: Recorder
    notes: Notes


def record_runs(model: nn.Module, traces: Sequence[Trace], refused: dict[str, str]) -> list[Run]:
    """Run traces again, and record every call of a module with code of its own.

    Modules that can't be recorded, or do something else while they are, are added to `refused`
    with the reason, and left out.
    """
    for path, module in model.named_modules():
        if is_candidate(module) and (obstacle := find_obstacle(module)):
            refused[path] = obstacle
    for _ in range(MAX_ATTEMPTS):
        known = len(refused)
        runs = _attempt(model, traces, refused)
        if len(refused) == known:
            return runs
    return []


def place(node: fx.Node) -> str:
    """Return the name of the innermost module whose forward ran an operation."""
    return module_path(node).partition("@")[0]


def _attempt(model: nn.Module, traces: Sequence[Trace], refused: dict[str, str]) -> list[Run]:
    runs: list[Run] = []
    for number, before in enumerate(traces):
        known = len(refused)
        started: list[tuple[str, bool, Recorder]] = []
        with _recording(model, started, refused):
            after = run_again(model, before)
        # What a refused recording ran before it was given up is in the trace as well.
        different = find_difference(before, after) if len(refused) == known else None
        if different is not None:
            refused.setdefault(place(different), "it does something else while it is recorded")
        notes = _notes(after, len(started))
        runs.extend(
            Run(path=path, training=training, trace=number, recorder=recorder, notes=own)
            for (path, training, recorder), own in zip(started, notes, strict=True)
        )
    return runs


def _notes(trace: Trace, count: int) -> list[Notes]:
    result: list[Notes] = [{} for _ in range(count)]
    for position, node in enumerate(trace.graph.nodes):
        for number, name, how in node.meta.get(MARK, ()):
            result[number].setdefault((name, how), []).append(position)
    return result


@contextlib.contextmanager
def _recording(
    model: nn.Module, started: list[tuple[str, bool, Recorder]], refused: dict[str, str]
) -> Iterator[None]:
    modules = {path: module for path, module in model.named_modules()
               if path not in refused and is_candidate(module)}  # fmt: skip
    for path, module in modules.items():
        module.__dict__["forward"] = _recorded(path, module, started, refused)
    try:
        yield
    finally:
        for module in modules.values():
            module.__dict__.pop("forward", None)


def _recorded(
    path: str,
    module: nn.Module,
    started: list[tuple[str, bool, Recorder]],
    refused: dict[str, str],
) -> Any:
    forward = module.forward

    @functools.wraps(forward)
    def record(*args: Any, **kwargs: Any) -> Any:
        if path in refused:
            return forward(*args, **kwargs)
        recorder = Recorder(module, len(started))
        started.append((path, module.training, recorder))
        try:
            return recorder.record(forward, args, kwargs)
        except Exception as error:  # noqa: BLE001  (whatever tracked values lead to)
            refused[path] = str(error).splitlines()[0] if str(error) else repr(error)
            return forward(*args, **kwargs)

    return record
