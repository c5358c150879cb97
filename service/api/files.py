"""Sends files of the artifact store, whole or in part, and removes those that nothing names."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header
from fastapi.responses import Response, StreamingResponse

from service.artifacts import CHUNK_BYTES, Spool
from service.errors import RangeNotSatisfiableError, UnavailableError
from service.garbage import delete_file
from service.ranges import ByteRange, find_range, is_named
from service.services import Services
from shrinknets.wire import Problem

MEDIA_TYPE = "application/octet-stream"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which part of a file is asked for, and which file its reader has already."""

    if_none_match: str | None
    range: str | None
    if_range: str | None


async def _wanted(
    if_none_match: Annotated[str | None, Header()] = None,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range, such as `bytes=0-1023`.")
    ] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Wanted:
    return Wanted(if_none_match=if_none_match, range=range_, if_range=if_range)


WantedOf = Annotated[Wanted, Depends(_wanted)]


def file_answers(description: str) -> dict[int | str, dict[str, Any]]:
    """The answers of an endpoint that sends a file."""
    return {
        200: {"content": {MEDIA_TYPE: {}}, "description": description},
        206: {"content": {MEDIA_TYPE: {}}, "description": "The part that Range names."},
        304: {"description": "The file is the one that If-None-Match names."},
        416: {"model": Problem, "description": "The file ends before the range begins."},
    }


def send_file(services: Services, sha256: str, wanted: Wanted, *, filename: str) -> Response:
    """The file, verified before the first byte is sent. Raises RangeNotSatisfiableError."""
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    if is_named(etag, wanted.if_none_match):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    spool = services.artifacts.open(sha256)
    try:
        part = find_range(wanted.range if wanted.if_range in {None, etag} else None, spool.size)
    except RangeNotSatisfiableError:
        spool.close()
        raise
    return _send(spool, part, headers)


def delete_files(services: Services, files: Sequence[str]) -> None:
    """Remove those of these files to which nothing refers."""
    for sha256 in files:
        try:
            delete_file(services.store, services.artifacts, sha256)
        except UnavailableError:
            # What named it is gone; collecting garbage tries again.
            _logger.exception("The file %s stays behind.", sha256)


def _send(spool: Spool, part: ByteRange | None, headers: dict[str, str]) -> StreamingResponse:
    headers["Content-Length"] = str(part.length if part else spool.size)
    if part is None:
        return StreamingResponse(
            _chunks(spool, 0, spool.size), headers=headers, media_type=MEDIA_TYPE
        )
    headers["Content-Range"] = part.content_range
    chunks = _chunks(spool, part.first, part.length)
    return StreamingResponse(chunks, status_code=206, headers=headers, media_type=MEDIA_TYPE)


def _chunks(spool: Spool, first: int, length: int) -> Iterator[bytes]:
    try:
        spool.file.seek(first)
        while length > 0 and (chunk := spool.file.read(min(CHUNK_BYTES, length))):
            length -= len(chunk)
            yield chunk
    finally:
        spool.close()
