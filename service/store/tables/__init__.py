"""The tables; a change here needs a migration, and a test compares the two."""

from service.store.tables.access_tables import audit, keys, workers
from service.store.tables.columns import metadata
from service.store.tables.file_tables import (
    artifacts,
    checkpoint_files,
    checkpoints,
    datasets,
    exports,
    networks,
)
from service.store.tables.job_tables import idempotency_keys, job_labels, job_methods, jobs
from service.store.tables.trial_tables import attempts, events, log_chunks, records, trials

__all__ = [
    "artifacts",
    "attempts",
    "audit",
    "checkpoint_files",
    "checkpoints",
    "datasets",
    "events",
    "exports",
    "idempotency_keys",
    "job_labels",
    "job_methods",
    "jobs",
    "keys",
    "log_chunks",
    "metadata",
    "networks",
    "records",
    "trials",
    "workers",
]
