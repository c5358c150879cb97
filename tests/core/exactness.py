"""Judges whether collecting dead features leaves a module's outputs as they were."""

import dataclasses
import gc
import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

Inputs = Tensor | tuple[Any, ...] | dict[str, Any]
Outputs = dict[str, list[Tensor]]
TOLERANCE = 1e-9


class Status(StrEnum):
    """What a removal did to a module."""

    EXACT = "exact"
    WRONG = "wrong"
    RAISED = "raised"
    NOTHING_REMOVED = "nothing removed"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """The verdict on one module. `error` is empty when nothing went wrong."""

    name: str
    status: Status
    error: str = ""
    parameters_before: int
    parameters_after: int
    groups: int = 0


class WrongError(Exception):
    """A removal changed something that it must leave alone."""


def check_removal(
    model: nn.Module, inputs: Inputs, *, share: float, seed: int, name: str = ""
) -> Outcome:
    """Kill a random share of each group's units, collect, finish, and compare the outputs.

    The model is changed: it becomes float64, and loses what was collected. Outputs are compared in
    evaluation and in training mode, in four states: untouched and with living gates; killed and
    collected; killed and finished. With nothing to remove the outputs are compared all the same.
    """
    model.double()
    before = num_parameters(model)
    trial = _Trial(model, to_float64(inputs), share=share, seed=seed)
    status, error = Status.EXACT, ""
    try:
        trial.run()
    except WrongError as caught:
        status, error = Status.WRONG, str(caught)
    except Exception as caught:  # noqa: BLE001 - whatever it raises is the finding
        status, error = Status.RAISED, describe(caught)
    if status is Status.EXACT and not trial.num_removed:
        status = Status.NOTHING_REMOVED
    return Outcome(
        name=name or type(model).__name__,
        status=status,
        error=error,
        parameters_before=before,
        parameters_after=before if trial.left is None else trial.left,
        groups=trial.num_groups,
    )


class _Trial:
    """One module on its way through making, killing, collecting and finishing."""

    def __init__(self, model: nn.Module, inputs: Inputs, *, share: float, seed: int) -> None:
        self.model, self.inputs, self.share, self.seed = model, inputs, share, seed
        self.num_groups = self.num_removed = 0
        self.left: int | None = None

    def run(self) -> None:
        from shrinknets_core import Shrinker  # noqa: PLC0415 - the peer is judged without it

        untouched = self.outputs()
        optimizer = torch.optim.Adam(self.model.parameters(), lr=0.0)
        shrinker = Shrinker(self.model, self.inputs)
        self.num_groups = len(shrinker.groups)
        expect_equal(untouched, self.outputs(), "making the shrinker")
        for group, units in zip(shrinker.groups, self.victims(shrinker.groups), strict=True):
            group.kill(units)
        killed = self.outputs()
        had_gradient = self.gradients()
        optimizer.step()
        self.forget_graph()
        owners = dict(self.model.named_parameters())
        learns = {name for name, parameter in owners.items() if parameter.requires_grad}

        report = shrinker.collect(optimizer)
        self.num_removed = sum(report.removed.values())
        expect_equal(killed, self.outputs(), "collect()")
        self.expect_identity(owners, learns)
        self.expect_gradients(had_gradient)
        expect_states(optimizer)
        optimizer.step()
        self.forget_graph()

        network = shrinker.finish()
        self.left = num_parameters(network)
        expect_equal(killed, outputs_in_both_modes(network, self.inputs, self.seed), "finish()")

    def outputs(self) -> Outputs:
        return outputs_in_both_modes(self.model, self.inputs, self.seed)

    def victims(self, groups: Sequence[Any]) -> Iterator[list[int]]:
        """Draw the units to kill for each group: about the share, never all; or a whole branch."""
        rng = torch.Generator().manual_seed(self.seed)
        for group in groups:
            share = self.share * (0.5 + float(torch.rand((), generator=rng)))
            count = max(0, min(int(share * group.size), group.size - 1))
            if group.size == 1 and group.bypass is not None:
                count = int(torch.rand((), generator=rng) < self.share)
            yield sorted(torch.randperm(group.size, generator=rng)[:count].tolist())

    def gradients(self) -> dict[int, torch.Size]:
        """Run backward and return the gradients' shapes by their parameter's id."""
        with repeatable_training(self.model, self.seed):
            outputs = find_tensors(call(self.model, self.inputs))
            loss = [value.abs().square().mean() for value in outputs if value.requires_grad]
            if loss:
                sum(loss).backward()
        return {
            id(parameter): parameter.grad.shape
            for parameter in self.model.parameters()
            if parameter.grad is not None
        }

    def forget_graph(self) -> None:
        self.model.zero_grad(set_to_none=True)
        gc.collect()

    def expect_identity(self, owners: Mapping[str, nn.Parameter], learns: Set[str]) -> None:
        for name, parameter in self.model.named_parameters():
            if name not in owners:
                continue
            if owners[name] is not parameter:
                raise WrongError(f"collect() replaced the parameter {name}")
            if parameter.requires_grad is not (name in learns):
                raise WrongError(f"collect() changed requires_grad of {name}")

    def expect_gradients(self, had_gradient: Mapping[int, torch.Size]) -> None:
        shapes = self.gradients()
        for name, parameter in self.model.named_parameters():
            if id(parameter) not in had_gradient or not parameter.requires_grad:
                continue
            shape = shapes.get(id(parameter))
            if shape != parameter.shape:
                raise WrongError(
                    f"after collect() the gradient of {name} has the shape {shape}, "
                    f"the parameter {tuple(parameter.shape)}"
                )


def expect_states(optimizer: torch.optim.Optimizer) -> None:
    """Raise WrongError unless every moment has its parameter's shape."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                raise WrongError(
                    f"the optimiser's {key} has the shape {tuple(value.shape)}, "
                    f"its parameter {tuple(parameter.shape)}"
                )


def expect_equal(before: Outputs, after: Outputs, cause: str) -> None:
    """Raise WrongError, which names the cause, unless all outputs agree to the tolerance."""
    for mode, expected in before.items():
        got = after[mode]
        if [value.shape for value in expected] != [value.shape for value in got]:
            shapes = [[tuple(value.shape) for value in values] for values in (expected, got)]
            raise WrongError(f"{cause}, {mode} mode: shapes {shapes[0]} became {shapes[1]}")
        for position, pair in enumerate(zip(expected, got, strict=True)):
            difference = relative_difference(*pair)
            if not difference <= TOLERANCE:
                raise WrongError(
                    f"{cause}, {mode} mode: output {position} differs by {difference:.1e}"
                )


def relative_difference(expected: Tensor, got: Tensor) -> float:
    """Return max |difference| / max |expected|; inf where one is not finite and the other is."""
    if not expected.numel():
        return 0.0
    kind = torch.complex128 if expected.is_complex() else torch.float64
    expected, got = expected.to(kind), got.to(kind)
    if not torch.equal(expected.isfinite(), got.isfinite()):
        return math.inf
    finite = expected.isfinite()
    difference = torch.where(finite, expected - got, 0).abs().max().item()
    scale = torch.where(finite, expected, 0).abs().max().item()
    return difference / scale if scale else difference


def outputs_in_both_modes(model: nn.Module, inputs: Inputs, seed: int) -> Outputs:
    """Return copies of the outputs per mode. Leaves buffers and the model's mode as they were."""
    was_training = {module: module.training for module in model.modules()}
    model.eval()
    with torch.no_grad():
        outputs = {"eval": find_tensors(call(model, inputs))}
    model.train()
    with repeatable_training(model, seed):
        outputs["training"] = find_tensors(call(model, inputs))
    for module, training in was_training.items():
        module.training = training
    return {mode: [value.detach().clone() for value in found] for mode, found in outputs.items()}


@contextmanager
def repeatable_training(model: nn.Module, seed: int) -> Iterator[None]:
    """Put the model in training mode such that the same call gives the same outputs again.

    Random numbers are seeded, buffers are put back, and dropout scales rows instead of drawing a
    mask, whose random numbers would be others once features are gone.
    """
    model.train()
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=[]), _no_inner_dropout(model), RowDropout():
        torch.manual_seed(seed)
        yield
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name in buffers and buffer.shape == buffers[name].shape:
                buffer.copy_(buffers[name])


class RowDropout(TorchFunctionMode):
    """Makes dropout multiply each row of the first axis by a number of its own.

    Like real dropout it turns constants into what no bias can replace; unlike it, it does not
    depend on the number of features. Alpha dropout adds a number per row, too.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention":
            kwargs.pop("dropout_p", None)
            return func(*args[:4], *args[4:5] and (0.0,), *args[5:], **kwargs)
        if name == "bernoulli_":  # stochastic depth: a branch that is gone draws no numbers
            return args[0].copy_(self.scale({"input": torch.ones_like(args[0])}, alpha=False) > 1)
        if "dropout" not in name:
            return func(*args, **kwargs)
        options = dict(zip(("input", "p", "training", "inplace"), args, strict=False)) | kwargs
        active = options.get("training", options.get("train", True)) and options.get("p", 0.5)
        return self.scale(options, alpha="alpha" in name) if active else options["input"]

    @staticmethod
    def scale(options: Mapping[str, Any], *, alpha: bool) -> Tensor:
        value = options["input"]
        shape = (-1,) + (1,) * (value.dim() - 1)
        rows = torch.arange(1, len(value) + 1, dtype=value.dtype).view(shape)
        factor, shift = 1 + rows.cos() / 2, rows.sin() / 2 * alpha
        if options.get("inplace"):
            return value.mul_(factor).add_(shift)
        return value * factor + shift


@contextmanager
def _no_inner_dropout(model: nn.Module) -> Iterator[None]:
    """Switch off the dropout that recurrent and attention layers do inside one operation."""
    layers = [m for m in model.modules() if isinstance(m, nn.RNNBase | nn.MultiheadAttention)]
    before = [layer.dropout for layer in layers]
    for layer in layers:
        layer.dropout = 0.0
    yield
    for layer, value in zip(layers, before, strict=True):
        layer.dropout = value


def call(model: nn.Module, inputs: Inputs) -> Any:
    """Call the model with one tensor, a tuple of positional inputs, or a dict of named ones."""
    match inputs:
        case tuple():
            return model(*inputs)
        case dict():
            return model(**inputs)
        case _:
            return model(inputs)


def find_tensors(value: Any) -> list[Tensor]:
    """List the tensors in nested containers, dataclasses included, in a fixed order."""
    if isinstance(value, Tensor):
        return [value]
    if dataclasses.is_dataclass(value):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [tensor for item in value for tensor in find_tensors(item)]
    return []


def to_float64(inputs: Inputs) -> Inputs:
    """Return the inputs with floating-point tensors in float64, others unchanged."""

    def convert(leaf: Any) -> Any:
        return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    return tree_map(convert, inputs)


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Give random values, in place, to what starts constant and would hide a mistake.

    These are biases, the factors of normalisation layers, layer scales and running statistics.
    Single numbers stay, and so does what does not start constant.
    """
    rng = torch.Generator().manual_seed(seed)
    running = [(name, value) for name, value in model.named_buffers() if "running_" in name]
    for name, value in [*model.named_parameters(), *running]:
        if value.numel() < 2 or value.min() != value.max():
            continue
        noise = torch.rand(value.shape, generator=rng, dtype=torch.float64)
        positive = name.endswith("running_var") or value.flatten()[0] != 0
        value.copy_(0.5 + noise if positive else (noise - 0.5) * 0.6)


def num_parameters(model: nn.Module) -> int:
    """Return the number of single weights, each shared parameter counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def describe(error: BaseException) -> str:
    """Return the error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
