"""List and read networks, and download their weights."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import MaxMacs, MaxParameters, NetworkId, Part, ServicesOf, StoreOf
from service.artifacts import CHUNK_BYTES, Spool
from service.errors import RangeNotSatisfiableError
from service.ranges import ByteRange, find_range, is_named
from service.store import networks
from service.store.networks import NetworkFilter
from shrinknets.wire import Method, Network, NetworkSort, Page, Problem

MEDIA_TYPE = "application/octet-stream"

router = APIRouter(prefix="/networks", tags=["networks"])


async def _filter(
    max_parameters: MaxParameters = None,
    max_macs: MaxMacs = None,
    min_validation_accuracy: Annotated[
        float | None, Query(ge=0, le=1, description="A share, 0 to 1.")
    ] = None,
    method: Annotated[Method | None, Query(description="Found by this method.")] = None,
) -> NetworkFilter:
    return NetworkFilter(
        max_parameters=max_parameters,
        max_macs=max_macs,
        min_validation_accuracy=min_validation_accuracy,
        method=method,
    )


@router.get("", summary="List networks")
def list_networks(
    part: Part,
    which: Annotated[NetworkFilter, Depends(_filter)],
    store: StoreOf,
    sort: Annotated[NetworkSort, Query(description="A `-` turns it round.")] = (
        NetworkSort.FOUND_DESC
    ),
) -> Page[Network]:
    """The networks of all jobs that meet all filters, by default the newest first."""
    with store.reading() as tx:
        return networks.list_networks(tx, part, which=which, sort=sort)


@router.get("/{network_id}", summary="Read a network")
def read_network(network_id: NetworkId, store: StoreOf) -> Network:
    """A network's size and accuracy."""
    with store.reading() as tx:
        return networks.get_network(tx, network_id)


@router.get(
    "/{network_id}/weights",
    summary="Download a network's weights",
    response_class=StreamingResponse,
    responses={
        200: {"content": {MEDIA_TYPE: {}}, "description": "A safetensors file."},
        206: {"content": {MEDIA_TYPE: {}}, "description": "The part that Range names."},
        304: {"description": "The file is the one that If-None-Match names."},
        416: {"model": Problem, "description": "The file ends before the range begins."},
    },
)
def download(
    network_id: NetworkId,
    services: ServicesOf,
    if_none_match: Annotated[str | None, Header()] = None,
    range_: Annotated[
        str | None, Header(alias="Range", description="One range, such as `bytes=0-1023`.")
    ] = None,
    if_range: Annotated[str | None, Header()] = None,
) -> Response:
    """The weights as a safetensors file, verified before the first byte is sent."""
    with services.store.reading() as tx:
        sha256 = networks.get_network(tx, network_id).weights_sha256
    etag = f'"{sha256}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    if is_named(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{network_id}.safetensors"'
    spool = services.artifacts.open(sha256)
    try:
        part = find_range(range_ if if_range in {None, etag} else None, spool.size)
    except RangeNotSatisfiableError:
        spool.close()
        raise
    return _send(spool, part, headers)


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
