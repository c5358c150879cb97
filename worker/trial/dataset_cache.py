"""Data sets that users handed in, fetched once for all trials of this machine."""

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from shrinknets.wire import DatasetFile
from worker.errors import DamagedFileError

MAX_CACHE_BYTES = 20 * 2**30
"""Beyond this the files that were not used for the longest time go."""
ABANDONED_SECONDS = 24 * 3600.0
"""A file of which no more came for so long belongs to a process that was killed."""


class DatasetCache:
    """A folder of files named by their SHA-256, shared by processes; each use verifies its file.

    `fetch` writes the wanted file, and is asked for each by one process at a time.
    """

    def __init__(
        self,
        folder: Path,
        *,
        fetch: Callable[[IO[bytes]], None],
        max_bytes: int = MAX_CACHE_BYTES,
    ) -> None:
        self._folder = folder / "datasets"
        self._fetch = fetch
        self._max_bytes = max_bytes

    @contextmanager
    def open(self, wanted: DatasetFile) -> Iterator[IO[bytes]]:
        """The file, open for reading from its start.

        Raises DamagedFileError, OSError where the folder cannot be written, and what `fetch`
        raises.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{wanted.sha256}.npz"
        with _locked(path.with_suffix(".lock")):
            file = _open_whole(path, wanted.sha256)
            if file is None:
                self._make_room(wanted.size_bytes)
                file = self._fetch_into(path, wanted.sha256)
            os.utime(path)
        # Without the lock: what is open can be read although another process removes its name.
        with file:
            yield file

    def _fetch_into(self, path: Path, sha256: str) -> IO[bytes]:
        # Under the lock, so one name will do, and what a killed process left is written over.
        part = path.with_suffix(".part")
        file = part.open("w+b")
        try:
            self._fetch(file)
            file.flush()
            _verify(file, sha256)
            part.replace(path)
        except BaseException:
            file.close()
            part.unlink(missing_ok=True)
            raise
        return file

    def _make_room(self, num_bytes: int) -> None:
        files = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                status = path.stat()
                if path.suffix == ".npz":
                    files.append((status.st_mtime, status.st_size, path))
                elif path.suffix == ".part" and time.time() - status.st_mtime > ABANDONED_SECONDS:
                    path.unlink()
        left = sum(size for _, size, _ in files) + num_bytes
        for _, size, path in sorted(files):
            if left <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            left -= size


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _open_whole(path: Path, sha256: str) -> IO[bytes] | None:
    """The file, unless it is not there or no longer what it was."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    if _digest(file) == sha256:
        return file
    file.close()
    return None


def _verify(file: IO[bytes], sha256: str) -> None:
    if (got := _digest(file)) != sha256:
        raise DamagedFileError(sha256=sha256, got=got)


def _digest(file: IO[bytes]) -> str:
    """Of the whole file, which is then at its start again."""
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(2**20):
        digest.update(chunk)
    file.seek(0)
    return digest.hexdigest()
