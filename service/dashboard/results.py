"""Collects all that a job has found so far."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from service.store import Reading, Slice, networks, trial_lists
from shrinknets.wire import Network, Page, Trial

Item = TypeVar("Item")

PART = 1000


def networks_of(tx: Reading, job_id: str) -> list[Network]:
    """All networks of a job, in the order of finding. Raises NotFoundError."""
    return list(_all(lambda part: networks.list_networks_of_job(tx, job_id, part)))


def trials_of(tx: Reading, job_id: str) -> list[Trial]:
    """All trials of a job, in the order of their creation. Raises NotFoundError."""
    return list(_all(lambda part: trial_lists.list_trials(tx, job_id, part)))


def _all(read: Callable[[Slice], Page[Item]]) -> Iterator[Item]:
    cursor: str | None = None
    while True:
        page = read(Slice(cursor=cursor, limit=PART))
        yield from page.items
        if page.next is None:
            return
        cursor = page.next
