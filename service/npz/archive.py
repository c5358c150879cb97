"""The zip archive around the arrays: what it may hold, and that it is what it says."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from service.errors import InvalidInputError

BEGINNING = b"PK\x03\x04"
"""The first bytes of every archive with something in it."""
REQUIRED = ("x.npy", "y.npy")
OPTIONAL = ("x_test.npy", "y_test.npy")
MAX_DIRECTORY_BYTES = 4096
LOCAL_HEADER_BYTES = 30
ALLOWED = "an archive as numpy.savez(path, x=…, y=…) or numpy.savez_compressed writes it"

_END = struct.Struct("<4s4H2LH")
_BROKEN = (
    BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What `zipfile` raises for archives that are damaged, encrypted or of another kind."""


@contextmanager
def reading_archive() -> Iterator[None]:
    """Say of an archive that cannot be read that it is one. Raises InvalidInputError."""
    try:
        yield
    except _BROKEN as error:
        raise InvalidInputError("body", _cut(str(error) or repr(error)), ALLOWED) from error


def open_archive(file: IO[bytes], size: int, *, max_unpacked_bytes: int) -> ZipFile:
    """Open an archive of `size` bytes whose entries are the arrays and no others.

    Reads its directory alone. Raises InvalidInputError.
    """
    # Before `zipfile` looks: it would read a directory of any length into memory.
    _check_end(file, size)
    with reading_archive():
        archive = ZipFile(file)
    entries = archive.infolist()
    _check_names(entries)
    _check_places(entries, directory_at=archive.start_dir)
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > max_unpacked_bytes:
        allowed = f"at most {max_unpacked_bytes:,} bytes of unpacked arrays"
        raise InvalidInputError("body", f"{unpacked:,} bytes", allowed)
    return archive


def _check_end(file: IO[bytes], size: int) -> None:
    """Refuse long directories, comments, several parts and what only ZIP64 can say."""
    file.seek(max(size - _END.size, 0))
    tail = file.read(_END.size)
    if len(tail) < _END.size or not tail.startswith(b"PK\x05\x06"):
        raise InvalidInputError("body", "a file without the end of an archive", ALLOWED)
    _, disk, first_disk, here, entries, length, start, comment = _END.unpack(tail)
    is_plain = disk == first_disk == comment == 0 and here == entries
    if not is_plain or start + length + _END.size != size:
        raise InvalidInputError("body", "an archive in parts, with a comment or a gap", ALLOWED)
    if length > MAX_DIRECTORY_BYTES:
        names = ", ".join([*REQUIRED, *OPTIONAL])
        raise InvalidInputError("body", f"{entries} entries", f"only the entries {names}")


def _check_names(entries: Sequence[ZipInfo]) -> None:
    known = (*REQUIRED, *OPTIONAL)
    names = [entry.orig_filename for entry in entries]
    for name in names:
        if name not in known:
            raise InvalidInputError("body", _cut(name), f"only the entries {', '.join(known)}")
        if names.count(name) > 1:
            raise InvalidInputError("body", name, "each entry once")
    wanted = known if any(name in OPTIONAL for name in names) else REQUIRED
    if missing := [name for name in wanted if name not in names]:
        allowed = "x and y, and either both of x_test and y_test or neither"
        raise InvalidInputError("body", f"no {' and no '.join(missing)}", allowed)


def _check_places(entries: Sequence[ZipInfo], *, directory_at: int) -> None:
    """Entries that share bytes can unpack to far more than their archive could hold."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    ends = [
        entry.header_offset + LOCAL_HEADER_BYTES + len(entry.orig_filename) + entry.compress_size
        for entry in ordered
    ]
    starts = [*(entry.header_offset for entry in ordered), directory_at]
    if starts[0] < 0 or any(end > after for end, after in zip(ends, starts[1:], strict=True)):
        raise InvalidInputError("body", "entries that overlap", ALLOWED)
    if any(before == after for before, after in pairwise(starts)):
        raise InvalidInputError("body", "entries that overlap", ALLOWED)
    for entry in ordered:
        if entry.compress_type not in {ZIP_STORED, ZIP_DEFLATED} or entry.flag_bits & 0x1:
            given = f"{entry.filename} with compression {entry.compress_type}"
            raise InvalidInputError("body", given, "entries stored or deflated, not encrypted")


def _cut(text: str) -> str:
    return text[:100]
