"""A data set of the service, as the client holds it."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from shrinknets import wire
from shrinknets._errors import ShrinkNetsError
from shrinknets._transport import Transport

UPLOAD_SECONDS = 600.0
"""How long the service may take to look into a file once it has all of it."""


class NoNumpyError(ShrinkNetsError):
    """Arrays can only be written with NumPy."""

    def __init__(self) -> None:
        super().__init__(
            "arrays are written to a file with NumPy, which is not installed here: "
            "`pip install numpy`, or give the path of a .npz file"
        )


class Dataset:
    """A data set that jobs can name.

    Attributes:
        info: all that the service says of it; rows of each class and the jobs that use it only
            where it was read by itself.
    """

    def __init__(self, transport: Transport, info: wire.Dataset) -> None:
        self._transport = transport
        self.info = info

    @property
    def name(self) -> str:
        """Under which jobs name it."""
        return self.info.name

    def reload(self) -> "Dataset":
        """Read it again, with the jobs that use it now; changes `info` in place."""
        self.info = self._transport.get(f"/datasets/{self.name}", wire.DatasetDetails)
        return self

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Download the `.npz` file; a file of this name is replaced once that is complete.

        Raises:
            NotFoundError: it is one that every worker has, which is no file.
            FileNotFoundError: there is no such folder.
        """
        return self._transport.save(f"/datasets/{self.name}/content", path)

    def delete(self) -> None:
        """Delete it. Raises ConflictError where jobs use it, or every worker has it."""
        self._transport.delete(f"/datasets/{self.name}")

    def __repr__(self) -> str:
        info = self.info
        shape = "×".join(str(size) for size in info.input_shape)
        return f"<Dataset {self.name} {info.rows:,} rows of {shape}, {info.num_classes} classes>"


def upload(
    transport: Transport,
    data: str | os.PathLike[str] | Mapping[str, Any],
    *,
    name: str,
    progress: bool,
) -> Dataset:
    """Hand a file or arrays in; `Client.upload_dataset` says the rest."""
    from shrinknets._progress import UploadProgress  # noqa: PLC0415 - rich is slow to import

    with _opened(data) as file:
        size = os.fstat(file.fileno()).st_size
        with UploadProgress(name, size, enabled=progress) as bar:
            info = transport.upload(
                "/datasets",
                wire.DatasetDetails,
                query={"name": name},
                chunks=bar.watched(file),
                size_bytes=size,
                seconds=UPLOAD_SECONDS,
            )
    return Dataset(transport, info)


@contextmanager
def _opened(data: str | os.PathLike[str] | Mapping[str, Any]) -> Iterator[IO[bytes]]:
    if not isinstance(data, Mapping):
        with Path(data).open("rb") as file:
            yield file
        return
    try:
        import numpy as np  # noqa: PLC0415 - who has arrays has it, and nobody else needs it
    except ImportError as error:
        raise NoNumpyError from error
    with tempfile.TemporaryFile() as file:
        arrays: dict[str, Any] = {key: np.asarray(array) for key, array in data.items()}
        np.savez(file, **arrays)
        file.seek(0)
        yield file
