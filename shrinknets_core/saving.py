"""Networks on disk: one safetensors file that holds the weights, the architecture and a probe."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from shrinknets_core.errors import NetworkFileError, OptionError
from shrinknets_core.events import TrainedNetwork
from shrinknets_core.finishing import plain_layers

FORMAT = "shrinknets-network/1"
PROBE_ROWS = 8
PROBE_TOLERANCE = 1e-3
"""Relative to the largest output: other processors and thread counts round differently."""
MAX_WIDTH = 10_000_000


def serialise(network: TrainedNetwork) -> bytes:
    """Return the network as a safetensors file.

    Its header says in JSON under `shrinknets` what the network is: format, family, inputs, the
    widths before and after, the original numbers of the features that stayed, outputs, and a
    digest of all tensors. Beside the weights it holds a random batch and the network's outputs on
    it. Loading compares both.

    Raises:
        OptionError: the network is no multi-layer perceptron.
    """
    if network.family != "mlp":
        raise OptionError("network", expected="of the family 'mlp'", got=network.family)
    layers = [layer for layer in network.module if isinstance(layer, nn.Linear)]
    probe = torch.randn(
        (PROBE_ROWS, layers[0].in_features),
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float32,
    )
    with torch.no_grad():
        outputs = network.module(probe)
    tensors = {**network.module.state_dict(), "probe.input": probe, "probe.output": outputs}
    description = {
        "format": FORMAT,
        "family": "mlp",
        "inputs": layers[0].in_features,
        "full_widths": network.full_widths,
        "widths": network.widths,
        "flatten": any(isinstance(layer, nn.Flatten) for layer in network.module),
        "kept": network.kept,
        "outputs": layers[-1].out_features,
        "parameters": network.parameters,
        "macs": network.macs,
        "validation_accuracy": network.validation_accuracy,
        "test_accuracy": network.test_accuracy,
        "lam": network.lam,
        "sha256": _digest(tensors),
    }
    return save(tensors, metadata={"shrinknets": json.dumps(description)})


def probe_of(saved: bytes) -> Tensor:
    """Return the random batch (rows, …) float32 in a file that `serialise` made."""
    return load(saved)["probe.input"]


def describe_network(path: str | Path) -> dict[str, Any]:
    """Return what a saved network is: family, widths before and after, features that stayed.

    Raises:
        FileNotFoundError: there is no such file.
        NetworkFileError: it is not a network that this version can load.
    """
    return _read(Path(path))[0]


def load_network(path: str | Path, *, device: torch.device | str = "cpu") -> nn.Sequential:
    """Load a saved network as plain torch layers, in evaluation mode; needs no service.

    The module takes raw rows (batch, inputs) float32, as they were before any scaling, and gives
    logits (batch, classes). One that was trained on images takes (batch, channels, height, width).

    Raises:
        FileNotFoundError: there is no such file.
        NetworkFileError: it is not a network that this version can load, it is damaged, or this
            version of torch computes other outputs than those it was saved with.
    """
    description, tensors = _read(Path(path))
    sizes = _sizes(path, description)
    _check_tensors(path, sizes, tensors)
    if _digest(tensors) != description.get("sha256"):
        raise NetworkFileError(f"{path}: the tensors are not those that were saved: damaged")
    probe, expected = tensors.pop("probe.input"), tensors.pop("probe.output")
    module = plain_layers(
        sizes[0], sizes[1:-1], sizes[-1], flatten=description.get("flatten") is True
    )
    module.load_state_dict(tensors)
    module.eval()
    with torch.no_grad():
        difference = float((module(probe) - expected).abs().max() / expected.abs().max())
    if not difference <= PROBE_TOLERANCE:
        raise NetworkFileError(
            f"{path}: outputs on the probe differ by {difference:.2g} from those it was saved with "
            f"(expected at most {PROBE_TOLERANCE:g}): this torch {torch.__version__} computes them "
            "otherwise"
        )
    return module.to(device)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"no network file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("shrinknets")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise NetworkFileError(f"{path}: not a safetensors file ({error})") from error
    if header is None:
        raise NetworkFileError(f"{path}: a safetensors file, but not one of a ShrinkNets network")
    try:
        description = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise NetworkFileError(f"{path}: its description is not JSON") from error
    if not isinstance(description, dict):
        raise NetworkFileError(f"{path}: its description is not a JSON object")
    if description.get("format") != FORMAT:
        raise NetworkFileError(
            f"{path}: format {description.get('format')!r}, this version reads {FORMAT!r}"
        )
    return description, tensors


def _sizes(path: str | Path, description: Mapping[str, Any]) -> list[int]:
    """Return inputs, widths and outputs, after a look at each."""
    widths = description.get("widths")
    if description.get("family") != "mlp" or not isinstance(widths, list):
        raise NetworkFileError(f"{path}: describes no network of the family 'mlp' with its widths")
    sizes = [description.get("inputs"), *widths, description.get("outputs")]
    if not all(type(size) is int and 1 <= size <= MAX_WIDTH for size in sizes):
        raise NetworkFileError(
            f"{path}: inputs, widths and outputs must be whole numbers from 1 to {MAX_WIDTH}"
        )
    return [int(size) for size in sizes]


def _check_tensors(path: str | Path, sizes: Sequence[int], tensors: Mapping[str, Tensor]) -> None:
    """Compare names, shapes and dtypes before anything of the described size is allocated."""
    with torch.device("meta"):
        expected = plain_layers(sizes[0], sizes[1:-1], sizes[-1]).state_dict()
    shapes = {name: tensor.shape for name, tensor in expected.items()}
    shapes["probe.input"] = torch.Size((PROBE_ROWS, sizes[0]))
    shapes["probe.output"] = torch.Size((PROBE_ROWS, sizes[-1]))
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes or any(
        tensor.dtype != torch.float32 for tensor in tensors.values()
    ):
        raise NetworkFileError(f"{path}: the tensors do not fit the architecture it describes")


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all tensors' bytes, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
