"""A trained network of a job, as the client holds it."""

import os
from pathlib import Path

from shrinknets import wire
from shrinknets._transport import Transport


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
        target = Path(path)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"cannot save {target}: there is no folder {target.parent}")
        content = self._transport.content(f"/networks/{self.id}/weights")
        partial = target.with_name(f".{target.name}.partial")
        partial.write_bytes(content)
        partial.replace(target)
        return target

    def __repr__(self) -> str:
        widths = "-".join(str(width) for width in self.widths)
        return (
            f"<Network {self.id} {self.info.method} {widths}, "
            f"{self.parameters:,} parameters, validation {self.validation_accuracy:.1%}>"
        )
