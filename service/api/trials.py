"""Read a trial, its epochs and its networks."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import Part, StoreOf, TrialId
from service.store import networks, records, trials
from service.store.records import Thinning
from shrinknets.wire import Network, Page, Record, Trial

MAX_STEPS = 1_000_000_000

router = APIRouter(prefix="/trials", tags=["trials"])


@router.get("/{trial_id}", summary="Read a trial")
def read_trial(trial_id: TrialId, store: StoreOf) -> Trial:
    """A trial as it stands."""
    with store.reading() as tx:
        return trials.get_trial(tx, trial_id)


@router.get("/{trial_id}/epochs", summary="List a trial's epochs")
def list_epochs(
    trial_id: TrialId,
    part: Part,
    store: StoreOf,
    every: Annotated[int, Query(ge=1, le=MAX_STEPS, description="One epoch of so many.")] = 1,
    max_points: Annotated[
        int | None, Query(ge=2, le=MAX_STEPS, description="So many epochs at most.")
    ] = None,
) -> Page[Record]:
    """What a trial reported for each epoch, by step; thinned, the first and the last stay."""
    is_whole = every == 1 and max_points is None
    thinning = None if is_whole else Thinning(every=every, max_points=max_points)
    with store.reading() as tx:
        return records.list_records(tx, trial_id, part, thinning=thinning)


@router.get("/{trial_id}/networks", summary="List a trial's networks")
def list_networks(trial_id: TrialId, part: Part, store: StoreOf) -> Page[Network]:
    """The networks that a trial found: one, or many for `path`."""
    with store.reading() as tx:
        return networks.list_networks_of_trial(tx, trial_id, part)
