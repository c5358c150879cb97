"""The arrays of a data set: shapes that agree, finite inputs, classes from 0."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any
from zipfile import ZipFile

import numpy as np

from service.errors import InvalidInputError
from service.npz.archive import open_archive, reading_archive
from service.npz.header import CLASS_TYPES, INPUT_TYPES, ArrayHeader, read_header

MAX_ROWS = 100_000_000
MAX_INPUTS = 1_000_000
MAX_CLASSES = 10_000
MIN_ROWS_PER_CLASS = 8
"""With so many each class is among the training, the validation and the test rows."""
MAX_INPUT = 1e15
"""Beyond this the squares of float32 numbers, and so their deviation, could be infinite."""
BLOCK_BYTES = 2**20
MAX_SHOWN = 10

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file holds: all that is known of its data set."""

    rows: int
    test_rows: int | None
    input_shape: tuple[int, ...]
    dtype: str
    class_counts: tuple[int, ...]
    """Of the rows, not of the test rows."""


def inspect(file: IO[bytes], size: int, *, max_unpacked_bytes: int) -> Contents:
    """Read a whole file of `size` bytes, block by block. Raises InvalidInputError."""
    with open_archive(file, size, max_unpacked_bytes=max_unpacked_bytes) as archive:
        headers = {
            name: _header(archive, name)
            for name in ("x", "y", "x_test", "y_test")
            if f"{name}.npy" in archive.namelist()
        }
        _check_shapes(headers)
        counts = _count_classes(archive, headers["y"])
        _check_counts(counts)
        if "y_test" in headers:
            _count_classes(archive, headers["y_test"], num_classes=len(counts))
        for name in ("x", "x_test"):
            if name in headers:
                _check_inputs(archive, headers[name])
    x, test = headers["x"], headers.get("x_test")
    return Contents(
        rows=x.shape[0],
        test_rows=None if test is None else test.shape[0],
        input_shape=x.shape[1:],
        dtype=str(x.dtype.newbyteorder("=")),
        class_counts=tuple(int(count) for count in counts),
    )


def _header(archive: ZipFile, name: str) -> ArrayHeader:
    types = INPUT_TYPES if name.startswith("x") else CLASS_TYPES
    with reading_archive(), archive.open(f"{name}.npy") as entry:
        header = read_header(name, entry, types=types)
    declared = archive.getinfo(f"{name}.npy").file_size
    if header.length + header.num_bytes != declared:
        given = f"an entry of {declared:,} bytes"
        wanted = f"{header.length + header.num_bytes:,} bytes, as shape {header.shape} of "
        raise InvalidInputError(name, given, f"{wanted}{header.dtype} takes")
    return header


def _check_shapes(headers: dict[str, ArrayHeader]) -> None:
    for name, of in (("x", "y"), ("x_test", "y_test")):
        if name not in headers:
            continue
        x, y = headers[name], headers[of]
        if len(x.shape) not in {2, 4}:
            allowed = "a shape (n, inputs) or (n, channels, height, width)"
            raise InvalidInputError(name, f"shape {x.shape}", allowed)
        if y.shape != x.shape[:1]:
            raise InvalidInputError(of, f"shape {y.shape}", f"a shape {x.shape[:1]}, as {name} has")
        if not 1 <= x.shape[0] <= MAX_ROWS:
            raise InvalidInputError(name, f"{x.shape[0]:,} rows", f"1 to {MAX_ROWS:,} rows")
        if not 1 <= math.prod(x.shape[1:]) <= MAX_INPUTS:
            allowed = f"1 to {MAX_INPUTS:,} numbers in a row"
            raise InvalidInputError(name, f"shape {x.shape}", allowed)
    x, test = headers["x"], headers.get("x_test", headers["x"])
    if (test.shape[1:], test.dtype) != (x.shape[1:], x.dtype):
        given = f"{test.dtype} rows of shape {test.shape[1:]}"
        raise InvalidInputError("x_test", given, f"{x.dtype} rows of shape {x.shape[1:]}, as in x")


def _count_classes(
    archive: ZipFile, header: ArrayHeader, *, num_classes: int = MAX_CLASSES
) -> Array:
    """Rows of each class, up to the last that there is."""
    counts = np.zeros(num_classes, dtype=np.int64)
    for block in _blocks(archive, header):
        if block.min() < 0 or block.max() >= num_classes:
            values = np.unique(block)
            shown = ", ".join(str(value) for value in values[:MAX_SHOWN])
            more = ", …" if len(values) > MAX_SHOWN else ""
            last = f"{num_classes - 1}" if num_classes < MAX_CLASSES else "K − 1"
            allowed = f"the classes 0 to {last}, of which there may be {MAX_CLASSES:,}"
            raise InvalidInputError(header.name, f"the values {shown}{more}", allowed)
        counts += np.bincount(block.astype(np.int64), minlength=num_classes)
    return np.trim_zeros(counts, "b")


def _check_counts(counts: Array) -> None:
    if len(counts) < 2:
        raise InvalidInputError("y", f"{len(counts)} class", "at least 2 classes")
    short = np.flatnonzero(counts < MIN_ROWS_PER_CLASS)
    if len(short):
        shown = ", ".join(f"{counts[one]} of class {one}" for one in short[:MAX_SHOWN])
        more = ", …" if len(short) > MAX_SHOWN else ""
        allowed = (
            f"the classes 0 to {len(counts) - 1}, each with at least {MIN_ROWS_PER_CLASS} rows: "
            "number them without gaps, and leave out or join those that are too rare"
        )
        raise InvalidInputError("y", f"rows {shown}{more}", allowed)


def _check_inputs(archive: ZipFile, header: ArrayHeader) -> None:
    checked = 0
    for block in _blocks(archive, header):
        if header.dtype.kind == "f":
            # In float64, so that the limit is one that half precision can be compared with.
            bad = np.flatnonzero(~(np.abs(block.astype(np.float64)) <= MAX_INPUT))
            if len(bad):
                place = checked + int(bad[0])
                row = place % header.shape[0] if header.is_fortran else _row(header, place)
                allowed = f"finite numbers from −{MAX_INPUT:g} to {MAX_INPUT:g}"
                raise InvalidInputError(f"{header.name}[{row}]", float(block[bad[0]]), allowed)
        checked += len(block)


def _row(header: ArrayHeader, place: int) -> int:
    return place // math.prod(header.shape[1:])


def _blocks(archive: ZipFile, header: ArrayHeader) -> Iterator[Array]:
    """The numbers of an array, in the order in which they are stored. Raises InvalidInputError."""
    left = header.num_bytes
    with reading_archive(), archive.open(f"{header.name}.npy") as entry:
        entry.read(header.length)
        while left > 0:
            block = entry.read(min(BLOCK_BYTES, left))
            if len(block) < min(BLOCK_BYTES, left):
                raise EOFError(f"{header.name} is cut off")
            left -= len(block)
            yield np.frombuffer(block, dtype=header.dtype)
        # Only at its end is the checksum of an entry compared.
        if entry.read(1):
            raise EOFError(f"{header.name} goes on after its end")
