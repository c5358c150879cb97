"""Traces: the operations that a module runs, in evaluation and in training."""

import contextlib
import functools
import logging
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils._pytree import tree_leaves

from shrinknets_core.errors import UntraceableError

Inputs = Tensor | tuple[object, ...] | Mapping[str, object]
"""Example inputs: one tensor, the positional arguments, or the keyword arguments."""


Call = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One run of a module as a graph of ATen operations.

    Attributes:
        graph: as `torch.export` made it; the operations' module paths are the whole model's.
        stored: for the placeholders of parameters, buffers and other tensors that modules hold,
            the tensor's name in the whole model.
        constants: for the placeholders of tensors that nobody holds, the tensor.
        path: of the module that was traced, empty for the whole model.
        training: its mode.
        call: what it was called with.
    """

    graph: fx.Graph
    stored: dict[str, str]
    constants: dict[str, Tensor]
    path: str
    training: bool
    call: Call


def trace(model: nn.Module, call: Call, *, training: bool, path: str = "") -> Trace:
    """Trace a module in one mode; leaves model, inputs and random state as they are.

    `torch.export` without strictness runs the model's own Python on tensors without data, so that
    it takes nearly all models, keeps the parameters' names, and leaves composite operations whole.
    Sizes are the real ones.

    Args:
        model: the whole model.
        call: the traced module's arguments.
        training: the mode.
        path: of the module in the model.

    Raises:
        Exception: whatever the module or the tracer raises.
    """
    module = model.get_submodule(path)
    with preserved(model), _quiet(), torch.enable_grad():
        model.train(training)
        with _plain_outputs(module), _no_cumulative_average(model):
            program = torch.export.export(module, *call, strict=False)
    _expect_sizes(program.graph)
    prefix = f"{path}." if path else ""
    signature = program.graph_signature
    own = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    stored = {key: prefix + name for key, name in own.items()}
    lifted = signature.inputs_to_lifted_tensor_constants
    constants = {key: program.constants[name] for key, name in lifted.items()}
    held = {id(tensor): name for name, tensor in stored_tensors(model).items()}
    stored.update({key: held[id(t)] for key, t in constants.items() if id(t) in held})
    for node in program.graph.nodes:
        stack = node.meta.get("nn_module_stack") or {}
        node.meta["nn_module_stack"] = {
            key: ((prefix + name).rstrip("."), kind) for key, (name, kind) in stack.items()
        }
    return Trace(
        graph=program.graph, stored=stored, constants=constants, path=path, training=training,
        call=call,
    )  # fmt: skip


def _expect_sizes(graph: fx.Graph) -> None:
    """Refuse graphs in which a size is only known once the data are."""
    for node in graph.nodes:
        for fake in tree_leaves(node.meta.get("val")):
            if isinstance(fake, Tensor) and not all(isinstance(n, int) for n in fake.shape):
                raise UntraceableError(f"sizes depend on the data (at {node.name})")


def retrace(model: nn.Module, before: Trace) -> Trace:
    """Trace again what was traced before."""
    return trace(model, before.call, training=before.training, path=before.path)


def arguments(inputs: Inputs) -> Call:
    """Return example inputs as positional and keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


@contextlib.contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Give a model back its modes and buffers at the end, and torch its random state."""
    modes = {module: module.training for module in model.modules()}
    buffers = [(module, dict(module._buffers)) for module in model.modules()]
    values = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for module, own in buffers:
            module._buffers.update(own)
        with torch.no_grad():
            for buffer, value in values:
                buffer.data = value


@contextlib.contextmanager
def _plain_outputs(model: nn.Module) -> Iterator[None]:
    """Let a model return its output tensors as a tuple, whatever kind of object holds them."""
    own = model.__dict__.get("forward")
    forward = model.forward

    @functools.wraps(forward)
    def plain(*args: Any, **kwargs: Any) -> tuple[Tensor, ...]:
        return tuple(find_tensors(forward(*args, **kwargs)))

    model.__dict__["forward"] = plain
    try:
        yield
    finally:
        del model.__dict__["forward"]
        if own is not None:
            model.__dict__["forward"] = own


def find_tensors(value: Any) -> list[Tensor]:
    """Return all tensors in nested containers, dataclasses and other objects, in their order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        parts: Iterable[Any] = value.values()
    elif isinstance(value, (list, tuple, set)):
        parts = value
    else:
        parts = vars(value).values() if hasattr(value, "__dict__") else ()
    return [tensor for part in parts for tensor in find_tensors(part)]


@contextlib.contextmanager
def _no_cumulative_average(model: nn.Module) -> Iterator[None]:
    """Give norms that average over all batches a momentum, as their count can't be traced."""
    norms = [m for m in model.modules() if isinstance(m, _NormBase) and m.momentum is None]
    try:
        for norm in norms:
            norm.momentum = 0.1
        yield
    finally:
        for norm in norms:
            norm.momentum = None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the tracer: what it reports comes as an exception as well."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def stored_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return all parameters, buffers and other tensors that a model's modules hold, by name.

    A tensor with two names comes under both. Tensors that autograd computed are left out.
    """
    result = {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_leaf:
                result.setdefault(f"{path}.{name}" if path else name, value)
    return result


def module_path(node: fx.Node) -> str:
    """Return the name of the innermost module whose forward ran an operation."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]) if paths else ""


def is_inside(node: fx.Node, paths: Container[str]) -> bool:
    """Tell whether an operation runs inside one of the modules of these paths."""
    stack = node.meta.get("nn_module_stack") or {}
    return any(name.partition("@")[0] in paths for name, _ in stack.values())
