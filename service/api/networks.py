"""List and read networks."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from service.api.dependencies import MaxMacs, MaxParameters, NetworkId, Part, StoreOf
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
