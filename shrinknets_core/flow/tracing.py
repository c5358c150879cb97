"""Traces: the operations that a module runs, in evaluation and in training."""

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

Inputs = Tensor | tuple[object, ...] | Mapping[str, object]
"""Example inputs: one tensor, the positional arguments, or the keyword arguments."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One run of a module as a graph of ATen operations.

    Attributes:
        graph: as `torch.export` made it.
        stored: for the placeholders of parameters and buffers, the tensor's name in the module.
        constants: for the placeholders of other tensors that the module holds, the tensor.
    """

    graph: fx.Graph
    stored: dict[str, str]
    constants: dict[str, Tensor]


def arguments(inputs: Inputs) -> tuple[tuple[object, ...], dict[str, object]]:
    """Return example inputs as positional and keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, (tuple, list)):
        return tuple(inputs), {}
    return (inputs,), {}


def trace(model: nn.Module, inputs: Inputs, *, training: bool) -> Trace:
    """Trace a model in one mode; leaves model, inputs and random state as they are.

    `torch.export` without strictness runs the model's own Python on tensors without data, so that
    it takes nearly all models, keeps the parameters' names, and leaves composite operations whole.
    Gradients are not needed, and sizes are the real ones.

    Raises:
        Exception: whatever the model or the tracer raises.
    """
    args, kwargs = arguments(inputs)
    modes = {module: module.training for module in model.modules()}
    rng = torch.get_rng_state()
    try:
        model.train(training)
        with _quiet(), torch.enable_grad():
            program = torch.export.export(model, args, kwargs, strict=False)
    finally:
        for module, mode in modes.items():
            module.training = mode
        torch.set_rng_state(rng)
    signature = program.graph_signature
    stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted = signature.inputs_to_lifted_tensor_constants
    constants = {key: program.constants[name] for key, name in lifted.items()}
    return Trace(graph=program.graph, stored=stored, constants=copy.copy(constants))


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
    """Return all parameters and buffers by name; a tensor with two names comes under both."""
    return {
        **dict(model.named_parameters(remove_duplicate=False)),
        **dict(model.named_buffers(remove_duplicate=False)),
    }


def module_path(node: fx.Node) -> str:
    """Return the name of the innermost module whose forward ran an operation."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]) if paths else ""
