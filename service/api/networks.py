"""List and read networks, and download their weights."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import MaxMacs, MaxParameters, NetworkId, Part, ServicesOf, StoreOf
from service.api.files import WantedOf, file_answers, send_file
from service.store import networks
from service.store.networks import NetworkFilter
from shrinknets.wire import Method, Network, NetworkSort, Page

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
    responses=file_answers("A safetensors file."),
)
def download(network_id: NetworkId, services: ServicesOf, wanted: WantedOf) -> Response:
    """The weights as a safetensors file, verified before the first byte is sent."""
    with services.store.reading() as tx:
        sha256 = networks.get_network(tx, network_id).weights_sha256
    return send_file(services, sha256, wanted, filename=f"{network_id}.safetensors")
