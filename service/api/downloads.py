"""Download a network: its weights, its architecture, and what it was exported to."""

import json
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import NetworkId, ServicesOf
from service.api.files import Asked, file_answers, send_file, send_spool
from service.artifacts import Spool
from service.errors import NotExportedError
from service.ranges import is_named
from service.safetensors import read_description
from service.services import Services
from service.store import networks
from shrinknets.wire import ArtifactKind, ExportFormat, Network

JSON = "application/json"

router = APIRouter(prefix="/networks/{network_id}", tags=["networks"])


@router.get(
    "/weights",
    summary="Download a network's weights",
    response_class=StreamingResponse,
    responses=file_answers("A safetensors file."),
)
def download_weights(network_id: NetworkId, services: ServicesOf, asked: Asked) -> Response:
    """The weights as a safetensors file, verified before the first byte is sent."""
    found = _network(services, network_id)
    return send_file(
        services, asked, found.weights_sha256, f"{network_id}{ArtifactKind.WEIGHTS.suffix}"
    )


@router.get(
    "/architecture",
    summary="Download a network's architecture",
    response_class=StreamingResponse,
    responses=file_answers("A JSON object.", media_type=JSON),
)
def download_architecture(network_id: NetworkId, services: ServicesOf, asked: Asked) -> Response:
    """The family, the widths before and after, and the features that stayed, without weights.

    It is the description in the header of the weights' file.
    """
    sha256 = _network(services, network_id).weights_sha256
    etag = f'"{sha256}-architecture"'
    if is_named(etag, asked.if_none_match):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=asked.headers(etag))
    with services.artifacts.open(sha256) as weights:
        description = read_description(weights.file, of=network_id)
    spool = Spool()
    spool.write(json.dumps(description, indent=2).encode() + b"\n")
    return send_spool(spool, asked, etag, f"{network_id}.json", media_type=JSON)


@router.get(
    "/onnx",
    summary="Download a network as ONNX",
    response_class=StreamingResponse,
    responses=file_answers("An ONNX model."),
)
def download_onnx(network_id: NetworkId, services: ServicesOf, asked: Asked) -> Response:
    """The network for ONNX runtimes: input `rows`, output `logits`, any number of rows."""
    return _send_export(services, network_id, ExportFormat.ONNX, asked)


@router.get(
    "/pt2",
    summary="Download a network as a torch.export program",
    response_class=StreamingResponse,
    responses=file_answers("A .pt2 archive."),
)
def download_pt2(network_id: NetworkId, services: ServicesOf, asked: Asked) -> Response:
    """The network for `torch.export.load`, which needs no code of ours."""
    return _send_export(services, network_id, ExportFormat.PT2, asked)


def _send_export(
    services: Services, network_id: str, wanted: ExportFormat, asked: Asked
) -> Response:
    network = _network(services, network_id)
    found = next((export for export in network.exports if export.format is wanted), None)
    if found is None or found.sha256 is None:
        raise NotExportedError(network_id, wanted.value, reason=found.reason if found else "")
    return send_file(
        services, asked, found.sha256, f"{network_id}{ArtifactKind(wanted.value).suffix}"
    )


def _network(services: Services, network_id: str) -> Network:
    with services.store.reading() as tx:
        return networks.get_network(tx, network_id)
