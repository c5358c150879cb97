"""Networks on disk: one safetensors file that holds the weights, the architecture and a probe."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor, nn

from shrinknets_core.describing import FORMAT, PLAIN_FORMAT, PROBE_ROWS, read_description
from shrinknets_core.errors import NetworkFileError
from shrinknets_core.events import TrainedNetwork
from shrinknets_core.finishing import PLAIN

PROBE_TOLERANCE = 1e-3
"""Relative to the largest output: other processors and thread counts round differently."""


def serialise(network: TrainedNetwork) -> bytes:
    """Return the network as a safetensors file.

    Its header says in JSON under `shrinknets` what the network is: format, family, shape of the
    inputs, the widths before and after, the original numbers of the features that stayed, classes,
    and a digest of all tensors. Beside the weights it holds a random batch and the network's
    outputs on it. Loading compares both.
    """
    is_plain = network.family == PLAIN
    ends = _plain_ends(network) if is_plain else _ends(network)
    shape = (ends["inputs"],) if is_plain else tuple(ends["input_shape"])
    probe = torch.randn(
        (PROBE_ROWS, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float32
    )
    with torch.no_grad():
        outputs = network.module(probe)
    # Copies: the format has no place for tensors that share their memory.
    copies = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in network.module.state_dict().items()
    }
    tensors = {**copies, "probe.input": probe, "probe.output": outputs}
    description = {
        "format": PLAIN_FORMAT if is_plain else FORMAT,
        "family": network.family,
        "full_widths": network.full_widths,
        "widths": network.widths,
        "kept": network.kept,
        **ends,
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
    """Load a saved network as a plain module, in evaluation mode; needs no service.

    The module takes raw rows (batch, …) float32, as they were before any scaling, and gives
    logits (batch, classes). One that was trained on images takes (batch, channels, height, width).
    A multi-layer perceptron is linear layers alone; a network of another family is `network` after
    `standardise`, and of a family that an installed package adds where that is installed here too.

    Raises:
        FileNotFoundError: there is no such file.
        NetworkFileError: it is not a network that this version can load, its family is not
            installed, it is damaged, or this version of torch computes other outputs than those it
            was saved with.
    """
    try:
        return _load(Path(path)).to(device)
    except NetworkFileError as error:
        raise NetworkFileError(f"{path}: {error}") from error.__cause__


def _load(path: Path) -> nn.Sequential:
    description, tensors = _read(path)
    described = read_description(description, tensors)
    described.check(tensors)
    if _digest(tensors) != description.get("sha256"):
        raise NetworkFileError("the tensors are not those that were saved: damaged")
    probe, expected = tensors.pop("probe.input"), tensors.pop("probe.output")
    module = described.build(tensors)
    with torch.no_grad():
        found = module(probe)
    scale = expected.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
    difference = float((found - expected).abs().max() / scale)
    if not difference <= PROBE_TOLERANCE:
        raise NetworkFileError(
            f"outputs on the probe differ by {difference:.2g} from those it was saved with "
            f"(expected at most {PROBE_TOLERANCE:g}): this torch {torch.__version__} computes them "
            "otherwise"
        )
    return module


def _plain_ends(network: TrainedNetwork) -> dict[str, Any]:
    layers = [layer for layer in network.module if isinstance(layer, nn.Linear)]
    return {
        "inputs": layers[0].in_features,
        "flatten": any(isinstance(layer, nn.Flatten) for layer in network.module),
        "outputs": layers[-1].out_features,
    }


def _ends(network: TrainedNetwork) -> dict[str, Any]:
    return {
        "layers": network.width_names,
        "input_shape": network.input_shape,
        "classes": network.num_classes,
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise FileNotFoundError(f"no network file at {path}")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get("shrinknets")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise NetworkFileError(f"not a safetensors file ({error})") from error
    if header is None:
        raise NetworkFileError("a safetensors file, but not one of a ShrinkNets network")
    try:
        description = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise NetworkFileError("its description is not JSON") from error
    if not isinstance(description, dict):
        raise NetworkFileError("its description is not a JSON object")
    return description, tensors


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of all tensors' bytes, by name."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
