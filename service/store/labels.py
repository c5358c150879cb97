"""Labels: words by which jobs are found, each a key with a value."""

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, delete, insert, select

from service.store.tables import job_labels, jobs
from service.store.transactions import Reading, Writing


def set_labels(tx: Writing, job_id: str, labels: Mapping[str, str]) -> None:
    """Give a job these labels and no others."""
    tx.connection.execute(delete(job_labels).where(job_labels.c.job_id == job_id))
    if labels:
        rows = [{"job_id": job_id, "key": key, "value": value} for key, value in labels.items()]
        tx.connection.execute(insert(job_labels), rows)


def read_labels(tx: Reading, job_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The labels of those jobs that have any, sorted by their keys."""
    if not job_ids:
        return {}
    query = select(job_labels).where(job_labels.c.job_id.in_(job_ids)).order_by(job_labels.c.key)
    found: dict[str, dict[str, str]] = {}
    for row in tx.connection.execute(query):
        found.setdefault(row.job_id, {})[row.key] = row.value
    return found


def has_label(label: str) -> ColumnElement[bool]:
    """Whether a job has a label such as `team:vision`, or `team` with any value."""
    key, colon, value = label.partition(":")
    owners = select(job_labels.c.job_id).where(job_labels.c.key == key)
    return jobs.c.id.in_(owners.where(job_labels.c.value == value) if colon else owners)
