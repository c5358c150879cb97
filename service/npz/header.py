"""The header of an array in NumPy's format: its dtype and shape, read from a few bytes."""

import io
import math
import re
from dataclasses import dataclass
from typing import IO

import numpy as np

from service.errors import InvalidInputError

MAX_HEADER_BYTES = 1024
"""NumPy writes 128 for every array that is taken here."""
INPUT_TYPES = frozenset({"f2", "f4", "f8", "u1"})
CLASS_TYPES = frozenset({"i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"})

_MAGIC = b"\x93NUMPY"
# Read by a pattern and not by Python's parser, whose time and memory a long text can use up.
_ITEM = re.compile(
    r"'(descr|fortran_order|shape)'\s*:\s*('[^'\\]{0,20}'|\[.*\]|True|False|\([\d\s,-]*\))\s*,?\s*"
)


@dataclass(frozen=True, kw_only=True)
class ArrayHeader:
    """What an array says of itself.

    Attributes:
        length: bytes from the begin of the entry to the first number.
    """

    name: str
    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    is_fortran: bool
    length: int

    @property
    def size(self) -> int:
        """Numbers in the array."""
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Of the numbers, without the header."""
        return self.size * self.dtype.itemsize


def read_header(name: str, entry: IO[bytes], *, types: frozenset[str]) -> ArrayHeader:
    """Read the header of the array `name`, and no further. Raises InvalidInputError."""
    text, length = _read_text(name, io.BytesIO(entry.read(MAX_HEADER_BYTES)))
    items = _read_items(name, text)
    code = items["descr"].strip("'")
    if code.lstrip("<>|=") not in types:
        allowed = f"a dtype of {', '.join(sorted(str(np.dtype(one)) for one in types))}"
        raise InvalidInputError(name, f"dtype {code[:100]}", allowed)
    return ArrayHeader(
        name=name,
        dtype=np.dtype(code),
        shape=_read_shape(name, items["shape"]),
        is_fortran=items["fortran_order"] == "True",
        length=length,
    )


def _read_text(name: str, beginning: io.BytesIO) -> tuple[str, int]:
    magic, version = beginning.read(len(_MAGIC)), tuple(beginning.read(2))
    if magic != _MAGIC or version not in {(1, 0), (2, 0)}:
        raise InvalidInputError(name, (magic + bytes(version)).hex(" "), _ALLOWED)
    length = int.from_bytes(beginning.read(2 if version == (1, 0) else 4), "little")
    text = beginning.read(length)
    if len(text) < length:
        raise InvalidInputError(name, f"a header of {length} bytes", _ALLOWED)
    return text.decode("latin-1"), beginning.tell()


def _read_items(name: str, text: str) -> dict[str, str]:
    inner = text.strip().removeprefix("{").removesuffix("}").strip()
    items: dict[str, str] = {}
    place = 0
    while match := _ITEM.match(inner, place):
        items[match[1]] = match[2]
        place = match.end()
    if place != len(inner) or len(items) != 3:
        raise InvalidInputError(name, text[:100], _ALLOWED)
    if not items["descr"].startswith("'"):
        raise InvalidInputError(name, f"dtype {items['descr'][:100]}", "an array of plain numbers")
    return items


def _read_shape(name: str, text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.strip("()").split(",")]
    if parts[-1] == "":
        parts.pop()
    if len(parts) > 8 or not all(re.fullmatch(r"\d{1,18}", part) for part in parts):
        raise InvalidInputError(name, f"shape {text[:100]}", "a shape of whole numbers from 0")
    return tuple(int(part) for part in parts)


_ALLOWED = f"an array in NumPy's format 1 or 2, with a header of at most {MAX_HEADER_BYTES} bytes"
