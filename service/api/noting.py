"""Changes of jobs that leave an entry in the audit trail."""

from collections.abc import Iterator
from contextlib import contextmanager

from service.access import Identity, actor_of
from service.store import Store, Writing, audit


@contextmanager
def noted(store: Store, caller: Identity, action: str, job_id: str) -> Iterator[Writing]:
    """A transaction that also says who does this to a job; nothing is said where it fails."""
    with store.writing() as tx:
        yield tx
        audit.note(tx, actor_of(caller), action, job_id)
