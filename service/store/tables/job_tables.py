"""Jobs, and what is kept of their submission."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, String, Table, Text

from service.store.clock import UtcTime
from service.store.tables.columns import ID, SEQUENCE, SHA256, metadata, one_of
from shrinknets.wire import JobState, Method

jobs = Table(
    "jobs",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("state", one_of(JobState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    # For searching: databases do not agree on which letters are the same in small.
    Column("folded_name", Text, nullable=False, server_default=""),
    Column("dataset", String(200), nullable=False, server_default=""),
    # Of the network; workers are given jobs of those that they can build.
    Column("family", String(63), nullable=False, server_default="mlp"),
    Column("priority", BigInteger, nullable=False, server_default="0"),
    # Who submitted it. No foreign key: the key of a server's own worker is in no table.
    Column("key_id", ID),
    Column("total_trials", BigInteger, nullable=False),
    Column("worker", String(200)),
    Column("token_digest", SHA256),
    Column("lease_expires_at", UtcTime),
    Column("cancel_requested_at", UtcTime),
    Column("pause_requested_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    # Which network was chosen and why, and when.
    Column("choice", JSON),
    Column("chosen_at", UtcTime),
    Index(None, "state", "seq"),
    Index(None, "dataset", "seq"),
    Index(None, "priority", "seq"),
    Index(None, "ended_at", "seq"),
    Index(None, "key_id", "state"),
    sqlite_autoincrement=True,
)
# Claims take the highest priority and of that the oldest, whatever the length of the queue. The
# family stands last, so that jobs of others are gone past within the index.
Index("ix_jobs_queue", jobs.c.state, jobs.c.priority.desc(), jobs.c.seq, jobs.c.family)

job_methods = Table(
    "job_methods",
    metadata,
    Column("job_id", ID, ForeignKey("jobs.id"), primary_key=True),
    Column("method", one_of(Method, "method"), primary_key=True),
    Index(None, "method", "job_id"),
)

job_labels = Table(
    "job_labels",
    metadata,
    Column("job_id", ID, ForeignKey("jobs.id"), primary_key=True),
    Column("key", String(63), primary_key=True),
    Column("value", String(200), nullable=False),
    Index(None, "key", "value", "job_id"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    # Of whom the key is; nobody's where no API key was shown.
    Column("owner", String(200), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("body_digest", SHA256, nullable=False),
    # Deferred: the key is taken first, and who comes second waits for it before making a job.
    Column(
        "job_id", ID, ForeignKey("jobs.id", deferrable=True, initially="DEFERRED"), nullable=False
    ),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "job_id"),
    Index(None, "created_at"),
)
