"""A trained network of a job, as the client holds it."""

import json
import os
from pathlib import Path
from typing import Any

from shrinknets import wire
from shrinknets._transport import Transport

FORMATS = {"safetensors": "weights", "json": "architecture", "onnx": "onnx", "pt2": "pt2"}
"""What a network can be downloaded as, and the last part of the address of each."""


class Network:
    """A trained network in the service's store.

    Attributes:
        info: all that the service says of it: widths, parameters, macs, accuracies, method.
    """

    def __init__(self, transport: Transport, info: wire.Network) -> None:
        self._transport = transport
        self.info = info

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def widths(self) -> list[int]:
        """Features per hidden layer, input side first."""
        return self.info.widths

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.info.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations for one example."""
        return self.info.macs

    @property
    def latency_ms(self) -> float | None:
        """Of a forward pass of one example on a CPU, where the job limits it."""
        return self.info.latency_ms

    @property
    def validation_accuracy(self) -> float:
        """A share, 0 to 1; by this networks are chosen."""
        return self.info.validation_accuracy

    @property
    def test_accuracy(self) -> float:
        """A share, 0 to 1; measured once, after the choice."""
        return self.info.test_accuracy

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Download the network into a safetensors file that holds weights and architecture.

        Load it with `shrinknets_core.load_network(path)`; that needs no service. A file of this
        name is replaced, once the download is complete.

        Raises:
            ServiceUnreachableError: nobody answers.
            FileNotFoundError: there is no such folder.
            OSError: the file can't be written.
        """
        return self.download(path, format="safetensors")

    def download(self, path: str | os.PathLike[str], *, format: str = "safetensors") -> Path:  # noqa: A002
        """Download the network in a format. A file of this name is replaced, once it is complete.

        Args:
            path: the file to write.
            format: `safetensors`, `json` (the architecture alone), or, where the job asked for
                such exports, `onnx` or `pt2` (for `torch.export.load`).

        Raises:
            ValueError: there is no such format.
            NotFoundError: the network was not exported to it; says how that is asked for, or why
                it failed.
            ServiceUnreachableError: nobody answers.
            FileNotFoundError: there is no such folder.
            OSError: the file can't be written.
        """
        if format not in FORMATS:
            raise ValueError(f"format must be one of {', '.join(FORMATS)}, got {format!r}")
        return self._transport.save(f"/networks/{self.id}/{FORMATS[format]}", path)

    def architecture(self) -> dict[str, Any]:
        """Return what the network is: family, widths before and after, features that stayed."""
        content = self._transport.content(f"/networks/{self.id}/architecture")
        description: dict[str, Any] = json.loads(content)
        return description

    def __repr__(self) -> str:
        widths = "-".join(str(width) for width in self.widths)
        return (
            f"<Network {self.id} {self.info.method} {widths}, "
            f"{self.parameters:,} parameters, validation {self.validation_accuracy:.1%}>"
        )
