"""What a job has found: its trials, its networks and its frontier."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import JobId, MaxMacs, MaxParameters, Part, StoreOf
from service.store import configurations, networks, trial_lists
from shrinknets.wire import Configuration, Method, Network, Page, Trial, TrialSort, TrialState

MAX_POINTS = 200
"""Of a curve in a list of trials; all epochs of one trial are to be had by themselves."""

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])


@router.get("/trials", summary="List a job's trials")
def list_trials(
    job_id: JobId,
    part: Part,
    store: StoreOf,
    *,
    state: Annotated[list[TrialState], Query(description="In any of these states.")] = [],  # noqa: B006 (FastAPI copies it)
    method: Annotated[list[Method], Query(description="Of any of these methods.")] = [],  # noqa: B006
    sort: Annotated[TrialSort, Query(description="A `-` turns it round.")] = TrialSort.CREATED,
    curves: Annotated[
        int | None,
        Query(
            ge=2,
            le=MAX_POINTS,
            description="Each trial's learning curve too, in at most so many points.",
            examples=[20],
        ),
    ] = None,
) -> Page[Trial]:
    """A job's trials, by default in the order of their creation, with their curves if wished."""
    with store.reading() as tx:
        return trial_lists.list_trials(
            tx, job_id, part, states=state, methods=method, sort=sort, points=curves
        )


@router.get("/configurations", summary="List a job's configurations")
def list_configurations(job_id: JobId, part: Part, store: StoreOf) -> Page[Configuration]:
    """Each set of parameters with mean and spread over its trainings, the oldest first."""
    with store.reading() as tx:
        return configurations.list_configurations(tx, job_id, part)


@router.get("/networks", summary="List a job's networks")
def list_networks(job_id: JobId, part: Part, store: StoreOf) -> Page[Network]:
    """All networks that a job's trials found, in the order of finding."""
    with store.reading() as tx:
        return networks.list_networks_of_job(tx, job_id, part)


@router.get("/frontier", summary="Read a job's frontier")
def read_frontier(
    job_id: JobId,
    store: StoreOf,
    max_parameters: MaxParameters = None,
    max_macs: MaxMacs = None,
) -> Page[Network]:
    """The networks that no other beats in validation accuracy and parameters, smallest first.

    Limits choose first. All of it is on one page.
    """
    with store.reading() as tx:
        return networks.read_frontier(tx, job_id, max_parameters=max_parameters, max_macs=max_macs)
