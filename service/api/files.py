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
"""Of weights, ONNX and .pt2 alike: none of them has a registered type of its own."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Which part of a file is asked for, and which version the client has."""

    if_none_match: str | None
    range: str | None
    if_range: str | None

    def headers(self, etag: str) -> dict[str, str]:
        return {
            "ETag": etag,
            "Cache-Control": "private, max-age=31536000, immutable",
            "Accept-Ranges": "bytes",
        }


async def _conditions(
    if_none_match: Annotated[str | None, Header()] = None,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range, such as `bytes=0-1023`.")
    ] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Conditions:
    return Conditions(if_none_match=if_none_match, range=range_, if_range=if_range)


Asked = Annotated[Conditions, Depends(_conditions)]


def file_answers(what: str, *, media_type: str = MEDIA_TYPE) -> dict[int | str, dict[str, Any]]:
    """The answers of an endpoint that sends a file."""
    return {
        200: {"content": {media_type: {}}, "description": what},
        206: {"content": {media_type: {}}, "description": "The part that Range names."},
        304: {"description": "The file is the one that If-None-Match names."},
        416: {"model": Problem, "description": "The file ends before the range begins."},
    }


def send_file(services: Services, asked: Conditions, sha256: str, name: str) -> Response:
    """A stored file, verified before the first byte is sent.

    Raises RangeNotSatisfiableError, ArtifactDamagedError.
    """
    etag = f'"{sha256}"'
    if is_named(etag, asked.if_none_match):
        return Response(status_code=304, headers=asked.headers(etag))
    return send_spool(services.artifacts.open(sha256), asked, etag, name)


def send_spool(
    spool: Spool, asked: Conditions, etag: str, name: str, *, media_type: str = MEDIA_TYPE
) -> StreamingResponse:
    """What a spool holds; closes it. Raises RangeNotSatisfiableError."""
    headers = asked.headers(etag)
    headers["Content-Disposition"] = f'attachment; filename="{name}"'
    try:
        part = find_range(asked.range if asked.if_range in {None, etag} else None, spool.size)
    except RangeNotSatisfiableError:
        spool.close()
        raise
    whole = ByteRange(first=0, last=spool.size - 1, size=spool.size)
    sent = part or whole
    headers["Content-Length"] = str(sent.length)
    if part is not None:
        headers["Content-Range"] = part.content_range
    return StreamingResponse(
        _chunks(spool, sent.first, sent.length),
        status_code=200 if part is None else 206,
        headers=headers,
        media_type=media_type,
    )


def delete_files(services: Services, files: Sequence[str]) -> None:
    """Remove those of these files to which nothing refers."""
    for sha256 in files:
        try:
            delete_file(services.store, services.artifacts, sha256)
        except UnavailableError:
            # What named it is gone; collecting garbage tries again.
            _logger.exception("The file %s stays behind.", sha256)


def _chunks(spool: Spool, first: int, length: int) -> Iterator[bytes]:
    try:
        spool.file.seek(first)
        while length > 0 and (chunk := spool.file.read(min(CHUNK_BYTES, length))):
            length -= len(chunk)
            yield chunk
    finally:
        spool.close()
