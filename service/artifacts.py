"""Stores files behind fsspec, each named by its SHA-256 and verified whenever it is read."""

import hashlib
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Self

import fsspec

from service.errors import ArtifactDamagedError, InvalidInputError, UnavailableError

CHUNK_BYTES = 2**20
SPOOL_BYTES = 16 * 2**20
"""Files up to this size are handled in memory, larger ones in a temporary file."""


class Spool:
    """Bytes on their way in or out, with their digest."""

    def __init__(self) -> None:
        self.file: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115 (closed by its user)
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.size += len(chunk)
        self.file.write(chunk)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Artifacts:
    """A folder of files, on this machine or in an object store."""

    def __init__(self, url: str) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UnavailableError(f"Cannot use the artifact store {url}: {error}") from error

    def has(self, sha256: str) -> bool:
        return bool(self._fs.exists(self._path(sha256)))

    def put(self, sha256: str, spool: Spool) -> None:
        """Store a file; it appears whole or not at all.

        Raises InvalidInputError, and UnavailableError where it cannot be written.
        """
        if spool.sha256 != sha256:
            raise InvalidInputError("sha256", sha256, f"the digest of the body, {spool.sha256}")
        try:
            self._write(sha256, spool)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnavailableError(f"Cannot write to {self._root}: {reason}.") from error

    def delete(self, sha256: str) -> None:
        """Delete a file; one that is not there is no error. Raises UnavailableError."""
        try:
            self._fs.rm_file(self._path(sha256))
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnavailableError(f"Cannot delete in {self._root}: {reason}.") from error

    def _write(self, sha256: str, spool: Spool) -> None:
        path = self._path(sha256)
        unfinished = f"{self._root}/unfinished/{sha256}-{secrets.token_hex(4)}"
        for folder in (Path(path).parent, Path(unfinished).parent):
            self._fs.makedirs(folder.as_posix(), exist_ok=True)
        spool.file.seek(0)
        try:
            with self._fs.open(unfinished, "wb") as target:
                shutil.copyfileobj(spool.file, target, CHUNK_BYTES)
            self._fs.mv(unfinished, path)
        except OSError:
            # Half a file would take the room that the disk may lack.
            with suppress(OSError):
                self._fs.rm_file(unfinished)
            raise

    def open(self, sha256: str) -> Spool:
        """Read a whole file and verify it before the first byte is used.

        Raises ArtifactDamagedError. The caller closes what it gets.
        """
        spool = Spool()
        try:
            with self._fs.open(self._path(sha256), "rb") as source:
                while chunk := source.read(CHUNK_BYTES):
                    spool.write(chunk)
        except FileNotFoundError as error:
            spool.close()
            raise ArtifactDamagedError(sha256, "it is not where it was stored") from error
        if spool.sha256 != sha256:
            spool.close()
            raise ArtifactDamagedError(sha256, f"its content has the digest {spool.sha256} now")
        spool.file.seek(0)
        return spool

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"
