"""Read a trial, its epochs and its networks."""

from fastapi import APIRouter

from service.api.dependencies import Part, StoreOf, TrialId
from service.store import networks, records, trials
from shrinknets.wire import Network, Page, Record, Trial

router = APIRouter(prefix="/trials", tags=["trials"])


@router.get("/{trial_id}", summary="Read a trial")
def read_trial(trial_id: TrialId, store: StoreOf) -> Trial:
    """A trial as it stands."""
    with store.reading() as tx:
        return trials.get_trial(tx, trial_id)


@router.get("/{trial_id}/epochs", summary="List a trial's epochs")
def list_epochs(trial_id: TrialId, part: Part, store: StoreOf) -> Page[Record]:
    """What a trial reported for each epoch, by step."""
    with store.reading() as tx:
        return records.list_records(tx, trial_id, part)


@router.get("/{trial_id}/networks", summary="List a trial's networks")
def list_networks(trial_id: TrialId, part: Part, store: StoreOf) -> Page[Network]:
    """The networks that a trial found: one, or many for `path`."""
    with store.reading() as tx:
        return networks.list_networks_of_trial(tx, trial_id, part)
