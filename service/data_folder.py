"""Lets one service at a time serve a data folder with an embedded database."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from service.errors import FolderTakenError, UnavailableError
from service.settings import Settings

LOCK = "service.lock"
EXTRA_SECONDS = 3.0
"""For a predecessor to end, beyond what its last requests may take."""


@contextmanager
def held_folder(settings: Settings) -> Iterator[None]:
    """Hold the data folder for as long as the block runs; a process that is killed lets go of it.

    Services with a database server may share a folder as they share that. Raises FolderTakenError,
    and UnavailableError where the folder cannot be written.
    """
    if not settings.is_embedded:
        yield
        return
    with _open(settings) as file:
        _lock(file, settings)
        yield


def _open(settings: Settings) -> TextIO:
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        return (settings.data_dir / LOCK).open("a")
    except OSError as error:
        raise UnavailableError(
            f"Cannot make the data folder {settings.data_dir.absolute()}: {error.strerror}. Choose "
            "another with --data-dir or SHRINKNETS_DATA_DIR."
        ) from error


def _lock(file: TextIO, settings: Settings) -> None:
    # A predecessor that was told to stop may still be at it.
    deadline = time.monotonic() + settings.shutdown_seconds + EXTRA_SECONDS
    while not _is_locked(file):
        if time.monotonic() > deadline:
            raise FolderTakenError(settings.data_dir)
        time.sleep(0.1)


def _is_locked(file: TextIO) -> bool:
    # Some network file systems know no locks.
    with suppress(OSError):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
