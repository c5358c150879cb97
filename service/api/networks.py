"""Read a network and download its weights."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import NetworkId, ServicesOf, StoreOf
from service.artifacts import CHUNK_BYTES, Spool
from service.store import networks
from shrinknets.wire import Network

router = APIRouter(prefix="/networks", tags=["networks"])


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
        200: {"content": {"application/octet-stream": {}}, "description": "A safetensors file."},
        304: {"description": "The file is the one that If-None-Match names."},
    },
)
def download(
    network_id: NetworkId,
    services: ServicesOf,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The weights as a safetensors file, verified before the first byte is sent."""
    with services.store.reading() as tx:
        sha256 = networks.get_network(tx, network_id).weights_sha256
    headers = {"ETag": f'"{sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    spool = services.artifacts.open(sha256)
    headers |= {
        "Content-Disposition": f'attachment; filename="{network_id}.safetensors"',
        "Content-Length": str(spool.size),
    }
    return StreamingResponse(_chunks(spool), headers=headers, media_type="application/octet-stream")


def _chunks(spool: Spool) -> Iterator[bytes]:
    try:
        while chunk := spool.file.read(CHUNK_BYTES):
            yield chunk
    finally:
        spool.close()
