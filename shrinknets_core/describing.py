"""What a saved network's header says of it, looked at before anything of that size is made."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from shrinknets_core.errors import NetworkFileError, OptionError, ShrinkNetsCoreError
from shrinknets_core.families import get_family
from shrinknets_core.finishing import PLAIN, plain_layers, standardised

PLAIN_FORMAT = "shrinknets-network/1"
"""A multi-layer perceptron as plain layers, its standardisation folded into the first."""
FORMAT = "shrinknets-network/2"
"""A network of any other family, after a layer that standardises."""
PROBE_ROWS = 8
MAX_SIZE = 10_000_000
MAX_AXES = 8
MAX_WIDTHS = 10_000


@dataclass(frozen=True, kw_only=True)
class Described:
    """A network that a header describes.

    Attributes:
        probe_shape: of the random batch in the file.
        outputs: classes.
        make: builds it, with weights of its own, on torch's default device.
    """

    probe_shape: tuple[int, ...]
    outputs: int
    make: Callable[[], nn.Sequential]

    def check(self, tensors: Mapping[str, Tensor]) -> None:
        """Compare names, shapes and dtypes with a network that takes no memory.

        Raises:
            NetworkFileError: they do not fit.
        """
        probes = {"probe.input": self.probe_shape, "probe.output": (PROBE_ROWS, self.outputs)}
        for name, shape in probes.items():
            if name not in tensors or tuple(tensors[name].shape) != shape:
                raise NetworkFileError(f"no {name} of shape {shape} for what it describes")
        with torch.device("meta"):
            expected = self._made().state_dict()
        kinds = {name: (tensor.shape, tensor.dtype) for name, tensor in expected.items()}
        found = {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
        floats = all(found.pop(name)[1] == torch.float32 for name in probes)
        if found != kinds or not floats:
            raise NetworkFileError("the tensors do not fit the architecture it describes")

    def build(self, tensors: Mapping[str, Tensor]) -> nn.Sequential:
        """Build it in evaluation mode on the CPU, with these weights."""
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            module = self._made()
        module.load_state_dict(dict(tensors))
        return module.eval()

    def _made(self) -> nn.Sequential:
        try:
            return self.make().to(torch.float32)
        except Exception as error:  # the code of a family that somebody else wrote
            reason = f"its family can't build it: {type(error).__name__}: {error}"
            raise NetworkFileError(reason) from error


def read_description(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Described:
    """Return what a header describes, after a look at each of its numbers.

    Args:
        description: the header's JSON object.
        tensors: of the file; no size can be larger than all of them together.

    Raises:
        NetworkFileError: it is of another format, describes nothing that can be built, or its
            family is not there.
    """
    match description.get("format"):
        case "shrinknets-network/1":
            return _read_plain(description)
        case "shrinknets-network/2":
            return _read_family(description, tensors)
        case other:
            known = f"{PLAIN_FORMAT!r} and {FORMAT!r}"
            raise NetworkFileError(f"format {other!r}, this version reads {known}")


def _read_plain(description: Mapping[str, Any]) -> Described:
    widths = description.get("widths")
    if description.get("family") != PLAIN or not isinstance(widths, list):
        raise NetworkFileError("describes no network of the family 'mlp' with its widths")
    if len(widths) > MAX_WIDTHS:
        raise NetworkFileError(f"describes {len(widths)} widths, at most {MAX_WIDTHS} can be")
    sizes = _whole([description.get("inputs"), *widths, description.get("outputs")], least=1)
    flatten = description.get("flatten") is True
    return Described(
        probe_shape=(PROBE_ROWS, sizes[0]),
        outputs=sizes[-1],
        make=lambda: plain_layers(sizes[0], sizes[1:-1], sizes[-1], flatten=flatten),
    )


def _read_family(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Described:
    name, axes, widths = (description.get(key) for key in ("family", "input_shape", "widths"))
    if not isinstance(name, str) or not isinstance(axes, list) or not isinstance(widths, list):
        raise NetworkFileError("describes no network by its family, input_shape and widths")
    if not 1 <= len(axes) <= MAX_AXES or len(widths) > MAX_WIDTHS:
        raise NetworkFileError(
            f"input_shape has 1 to {MAX_AXES} axes and at most {MAX_WIDTHS} widths are read, got "
            f"{len(axes)} and {len(widths)}"
        )
    input_shape = tuple(_whole(axes, least=1))
    (outputs,) = _whole([description.get("classes")], least=1)
    sizes = _whole(widths, least=0)
    _refuse_more_than_is_there([math.prod(input_shape), *sizes, outputs], tensors)
    try:
        family = get_family(name)
        family.check(input_shape, sizes, outputs)
    except OptionError as error:
        raise NetworkFileError(f"the family {name!r} has no such network: {error}") from error
    except ShrinkNetsCoreError as error:
        raise NetworkFileError(
            f"its family is not installed here ({error}): install the package that has it, as on "
            "the machine that trained it"
        ) from error
    across = (input_shape[0], 1, 1) if len(input_shape) == 3 else input_shape

    def make() -> nn.Sequential:
        network = family.build(input_shape, sizes, outputs)
        return standardised(network, mean=torch.zeros(across), std=torch.ones(across))

    return Described(probe_shape=(PROBE_ROWS, *input_shape), outputs=outputs, make=make)


def _whole(numbers: Sequence[object], *, least: int) -> list[int]:
    if not all(type(number) is int and least <= number <= MAX_SIZE for number in numbers):
        raise NetworkFileError(
            f"inputs, widths and outputs must be whole numbers from {least} to {MAX_SIZE}"
        )
    return [number for number in numbers if isinstance(number, int)]


def _refuse_more_than_is_there(sizes: Sequence[int], tensors: Mapping[str, Tensor]) -> None:
    """Each feature has a weight: a family's code is never asked for more of them than there are."""
    total = sum(tensor.numel() for tensor in tensors.values())
    if max(sizes) > total:
        raise NetworkFileError(f"describes {max(sizes)} features, but holds {total} numbers")
