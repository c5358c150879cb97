"""Which part of a file, or whether any of it, a request asks for (RFC 9110)."""

import re
from dataclasses import dataclass

from service.errors import RangeNotSatisfiableError

_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,18})[ \t]*-[ \t]*(\d{0,18})[ \t]*", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class ByteRange:
    """Bytes from `first` to `last`, both included, of a file of `size`."""

    first: int
    last: int
    size: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        return f"bytes {self.first}-{self.last}/{self.size}"


def find_range(header: str | None, size: int) -> ByteRange | None:
    """The one range that a Range header names; None where the whole file is to be sent.

    A header that cannot be read, or names several ranges, is ignored, as the RFC allows. Raises
    RangeNotSatisfiableError.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    start, end = match.groups()
    if not start:
        return _from(max(size - int(end), 0), size - 1, size, is_empty=int(end) == 0)
    if end and int(end) < int(start):
        return None
    last = min(int(end), size - 1) if end else size - 1
    return _from(int(start), last, size, is_empty=int(start) >= size)


def is_named(etag: str, header: str | None) -> bool:
    """Whether an If-None-Match header names this ETag, or any."""
    if header is None:
        return False
    names = [name.strip().removeprefix("W/") for name in header.split(",")]
    return etag in names or names == ["*"]


def _from(first: int, last: int, size: int, *, is_empty: bool) -> ByteRange:
    if is_empty or size == 0:
        raise RangeNotSatisfiableError(size)
    return ByteRange(first=first, last=last, size=size)
