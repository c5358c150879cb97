"""Stores files behind fsspec, each named by its SHA-256 and verified whenever it is read."""

import errno
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, Self

import fsspec

from service.errors import (
    ArtifactDamagedError,
    InvalidInputError,
    StorageFullError,
    UnavailableError,
)

CHUNK_BYTES = 2**20
UNFINISHED = "unfinished"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SPOOL_BYTES = 16 * 2**20
"""Files up to this size are handled in memory, larger ones in a temporary file."""


class Spool:
    """Bytes on their way in or out, with their digest.

    What is more than a little lies in a file without a name in `folder`, by default in that of the
    system, which may be in memory.
    """

    def __init__(self, *, folder: Path | None = None) -> None:
        place = None if folder is None else str(folder)
        self._place = place or tempfile.gettempdir()
        self.file: IO[bytes] = SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=place)  # noqa: SIM115 (closed by its user)
        self.size = 0
        self._digest = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises StorageFullError, UnavailableError."""
        self._digest.update(chunk)
        self.size += len(chunk)
        with _translated("Cannot write to", self._place):
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

    def __init__(self, url: str, *, scratch: Path | None = None) -> None:
        """Large files on their way out lie in `scratch`; as `Spool` says."""
        self._scratch = scratch
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise UnavailableError(f"Cannot use the artifact store {url}: {error}") from error

    def spool(self) -> Spool:
        """A place for a file on its way in; the caller closes it.

        Raises StorageFullError, UnavailableError.
        """
        try:
            if self._scratch is not None:
                self._scratch.mkdir(parents=True, exist_ok=True)
            return Spool(folder=self._scratch)
        except OSError as error:
            raise _in_words("Cannot write to", str(self._scratch), error) from error

    def has(self, sha256: str) -> bool:
        return bool(self._fs.exists(self._path(sha256)))

    def put(self, sha256: str, spool: Spool) -> None:
        """Store a file; it appears whole or not at all.

        Raises InvalidInputError, StorageFullError, and UnavailableError where it cannot be written.
        """
        if spool.sha256 != sha256:
            raise InvalidInputError("sha256", sha256, f"the digest of the body, {spool.sha256}")
        with _translated("Cannot write to", self._root):
            self._write(sha256, spool)

    def delete(self, sha256: str) -> None:
        """Delete a file; one that is gone already is no error. Raises UnavailableError."""
        self._delete(self._path(sha256))

    def finished_before(self, seconds: float) -> Iterator[tuple[str, int]]:
        """Digest and size of the files that have been there for longer."""
        for path, size in self._older(self._root, seconds):
            name = path.rpartition("/")[2]
            if path == self._path(name):
                yield name, size

    def unfinished_before(self, seconds: float) -> Iterator[tuple[str, int]]:
        """Path and size of what was begun longer ago and never finished."""
        yield from self._older(f"{self._root}/{UNFINISHED}", seconds)

    def delete_unfinished(self, path: str) -> None:
        """Delete what `unfinished_before` told of. Raises UnavailableError."""
        assert path.startswith(f"{self._root}/{UNFINISHED}/")
        self._delete(path)

    def _delete(self, path: str) -> None:
        with _translated("Cannot delete in", self._root), suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def _older(self, folder: str, seconds: float) -> Iterator[tuple[str, int]]:
        before = datetime.now(UTC) - timedelta(seconds=seconds)
        with _translated("Cannot list", folder):
            found = self._fs.find(folder, detail=True) if self._fs.exists(folder) else {}
            for path, info in found.items():
                # Between listing and looking it may have been finished or deleted.
                with suppress(FileNotFoundError):
                    if self._fs.modified(path) < before:
                        yield path, int(info["size"])

    def probe(self) -> None:
        """Write, read and delete a tiny file. Raises UnavailableError where that fails."""
        path = self._unfinished("probe")
        with _translated("Cannot use", self._root):
            self._fs.makedirs(Path(path).parent.as_posix(), exist_ok=True)
            self._fs.pipe_file(path, b"probe")
            is_kept = self._fs.cat_file(path) == b"probe"
            self._fs.rm_file(path)
        if not is_kept:
            raise UnavailableError(f"{self._root} does not keep what is written to it.")

    def _write(self, sha256: str, spool: Spool) -> None:
        path = self._path(sha256)
        unfinished = self._unfinished(sha256)
        for folder in (Path(path).parent, Path(unfinished).parent):
            self._fs.makedirs(folder.as_posix(), exist_ok=True)
        spool.file.seek(0)
        try:
            with self._fs.open(unfinished, "wb") as target:
                shutil.copyfileobj(spool.file, target, CHUNK_BYTES)
            self._fs.mv(unfinished, path)
        except BaseException:
            # Half a file would take the room that the disk may lack.
            with suppress(OSError):
                self._fs.rm_file(unfinished)
            raise

    def open(self, sha256: str) -> Spool:
        """Read a whole file and verify it before the first byte is used.

        Raises ArtifactDamagedError. The caller closes what it gets.
        """
        spool = self.spool()
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

    def _unfinished(self, name: str) -> str:
        return f"{self._root}/{UNFINISHED}/{name}-{secrets.token_hex(4)}"

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256[2:4]}/{sha256}"


@contextmanager
def _translated(what: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _in_words(what, place, error) from error


def _in_words(what: str, place: str, error: OSError) -> StorageFullError | UnavailableError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageFullError(place, reason)
    return UnavailableError(f"{what} {place}: {reason}.")
