"""Networks on disk: one safetensors file that holds the weights, the architecture and a probe."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from shrinknets_core.errors import NetworkFileError
from shrinknets_core.events import TrainedNetwork
from shrinknets_core.finishing import plain_layers

FORMAT = "shrinknets-network/1"
PROBE_ROWS = 8
PROBE_TOLERANCE = 1e-3
"""Relative to the largest output: other processors and thread counts round differently."""


def serialise(network: TrainedNetwork) -> bytes:
    """Return the network as a safetensors file.

    Its header says in JSON under `shrinknets` what the network is: format, family, inputs, the
    widths before and after, the original numbers of the features that stayed, outputs. Beside the
    weights it holds a random batch and the network's outputs on it, which loading compares.
    """
    layers = [layer for layer in network.module if isinstance(layer, nn.Linear)]
    probe = torch.randn(
        (PROBE_ROWS, layers[0].in_features), generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        outputs = network.module(probe)
    description = {
        "format": FORMAT,
        "family": "mlp",
        "inputs": layers[0].in_features,
        "full_widths": network.full_widths,
        "widths": network.widths,
        "kept": network.kept,
        "outputs": layers[-1].out_features,
        "parameters": network.parameters,
        "macs": network.macs,
        "validation_accuracy": network.validation_accuracy,
        "test_accuracy": network.test_accuracy,
        "lam": network.lam,
    }
    tensors = {**network.module.state_dict(), "probe.input": probe, "probe.output": outputs}
    return save(tensors, metadata={"shrinknets": json.dumps(description)})


def load_network(path: str | Path, *, device: torch.device | str = "cpu") -> nn.Sequential:
    """Load a saved network as plain torch layers, in evaluation mode; needs no service.

    The module takes raw rows (batch, inputs) float32, as they were before any scaling, and gives
    logits (batch, classes).

    Raises:
        FileNotFoundError: there is no such file.
        NetworkFileError: it is not a network that this version can load, or its outputs on the
            probe differ from those it was saved with.
    """
    description, tensors = _read(Path(path))
    probe, expected = tensors.pop("probe.input"), tensors.pop("probe.output")
    module = plain_layers(description["inputs"], description["widths"], description["outputs"])
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise NetworkFileError(f"{path}: the weights do not fit the architecture") from error
    module.eval()
    with torch.no_grad():
        difference = float((module(probe) - expected).abs().max() / expected.abs().max())
    if not difference <= PROBE_TOLERANCE:
        raise NetworkFileError(
            f"{path}: outputs on the probe differ by {difference:.2g} from those it was saved with "
            f"(expected at most {PROBE_TOLERANCE:g}); the file is damaged"
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
    description: dict[str, Any] = json.loads(header)
    if description.get("format") != FORMAT:
        raise NetworkFileError(
            f"{path}: format {description.get('format')!r}, this version reads {FORMAT!r}"
        )
    return description, tensors
