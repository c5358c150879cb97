"""A network namespace that has only the loopback device: what runs inside reaches nothing else."""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1


@contextmanager
def loopback_only() -> Iterator[None]:
    """Move this thread, and all that it starts, into a new namespace. Raises OSError.

    The namespace is gone with its last process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open("rb") as before:
        _call(libc.unshare(_CLONE_NEWNET))
        try:
            _raise_loopback()
            yield
        finally:
            _call(libc.setns(before.fileno(), _CLONE_NEWNET))


def _call(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:
        fcntl.ioctl(some, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
