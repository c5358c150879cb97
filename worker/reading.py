"""What a driver reads of the service about data sets, networks and jobs of earlier days."""

import logging
from collections.abc import Iterator

import httpx

from shrinknets.wire import DatasetDetails, Network, Page, Trial
from worker.errors import RefusedError
from worker.service_client import ServiceClient

_log = logging.getLogger(__name__)


def get_dataset(client: ServiceClient, name: str) -> DatasetDetails:
    """A data set; raises what the client's calls raise."""
    return client.get(f"/datasets/{name}", DatasetDetails)


def iter_networks(client: ServiceClient, job_id: str) -> Iterator[Network]:
    """All networks of a job, page by page."""
    cursor: str | None = None
    while True:
        query = f"?limit=100&cursor={cursor}" if cursor else "?limit=100"
        page = client.get(f"/jobs/{job_id}/networks{query}", Page[Network])
        yield from page.items
        cursor = page.next
        if cursor is None:
            return


def iter_trials_if_there(client: ServiceClient, job_id: str) -> Iterator[Trial]:
    """All trials of a job; none where it was deleted meanwhile."""
    try:
        yield from client.iter_trials(job_id)
    except RefusedError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        _log.warning("job %s is gone: nothing is known of its trials", job_id)
