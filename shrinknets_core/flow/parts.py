"""What to trace: the whole model if that can be done, and otherwise each part that can."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from shrinknets_core.errors import OptionError
from shrinknets_core.flow.tracing import Call, Inputs, Trace, arguments, preserved, trace


def trace_all(model: nn.Module, inputs: Inputs) -> tuple[list[Trace], dict[str, str]]:
    """Trace a model in evaluation and in training.

    A model whose own code can't be traced (its path depends on the data, say) is traced part by
    part: features that live inside a part are followed, all others stay. A mode in which the model
    does not run is left out.

    Returns the traces, and for each module that could not be traced the reason.

    Raises:
        OptionError: the model runs in neither mode.
    """
    call = arguments(inputs)
    traces: list[Trace] = []
    reasons: dict[str, str] = {}
    failures = []
    for training in (False, True):
        found: list[Trace] | None = None
        for attempt in (call, _doubled(call)):
            try:
                found = [trace(model, attempt, training=training)]
                break
            except Exception as error:  # noqa: BLE001  (whatever the model or the tracer raises)
                reasons.setdefault("", _first_line(error))
        if found is None:
            try:
                found = _trace_parts(model, call, training, reasons)
            except Exception as error:  # noqa: BLE001  (the model itself does not run)
                failures.append(_first_line(error))
        else:
            reasons.pop("", None)
        traces.extend(found or [])
    if len(failures) == 2:
        raise OptionError("example_inputs", expected="inputs that the model runs on",
                          got=failures[0])  # fmt: skip
    return traces, reasons


def _trace_parts(
    model: nn.Module, call: Call, training: bool, reasons: dict[str, str]
) -> list[Trace]:
    calls = _record_calls(model, call, training)
    traces: list[Trace] = []
    done: list[str] = []
    for path in calls:
        if any(path == other or path.startswith(f"{other}.") for other in done):
            continue
        try:
            traces.append(trace(model, calls[path], training=training, path=path))
            done.append(path)
        except Exception as error:  # noqa: BLE001  (then its own parts are tried)
            reasons[path] = _first_line(error)
    return traces


def _record_calls(model: nn.Module, call: Call, training: bool) -> dict[str, Call]:
    """Run a model and note what each of its modules is first called with, outer ones first."""
    calls: dict[str, Call] = {}
    handles = []
    for path, module in model.named_modules():

        def note(_: Any, args: Any, kwargs: Any, path: str = path) -> None:
            calls.setdefault(path, (args, kwargs))

        if path:
            handles.append(module.register_forward_pre_hook(note, with_kwargs=True))
    try:
        with preserved(model), torch.no_grad():
            model.train(training)
            model(*call[0], **call[1])
    finally:
        for handle in handles:
            handle.remove()
    return {path: calls[path] for path, _ in model.named_modules() if path in calls}


def _doubled(call: Call) -> Call:
    """Put each input tensor behind itself: norms over the batch need more than one example."""

    def double(value: Any) -> Any:
        return torch.cat([value, value]) if isinstance(value, Tensor) and value.dim() else value

    return tree_map(double, call)  # type: ignore[no-any-return]


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else repr(error)
