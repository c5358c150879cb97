"""Trials with their attempts, epochs and logs, and the events that tell of all changes."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from service.store.clock import UtcTime
from service.store.tables.columns import ID, SEQUENCE, SHA256, metadata, one_of
from shrinknets.wire import AttemptState, Method, Phase, TrialState

trials = Table(
    "trials",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("job_id", ID, ForeignKey("jobs.id"), nullable=False),
    Column("method", one_of(Method, "method"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("state", one_of(TrialState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("params", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("epochs", BigInteger, nullable=False),
    Column("train_seconds", Double, nullable=False),
    Column("validation_accuracy", Double),
    Column("widths", JSON, nullable=False),
    Column("parameters", BigInteger),
    Column("macs", BigInteger),
    Column("latency_ms", Double),
    # Numbers of trials of the same method: what the search knew is part of how it proposed this.
    Column("learned", JSON, nullable=False, server_default="[]"),
    Column("reported_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    UniqueConstraint("job_id", "method", "number"),
    Index(None, "job_id", "seq"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", ID, primary_key=True),
    Column("job_id", ID, ForeignKey("jobs.id"), nullable=False),
    Column("trial_id", ID, ForeignKey("trials.id"), nullable=False),
    Column("state", one_of(AttemptState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("token_digest", SHA256, nullable=False, unique=True),
    Column("lease_expires_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime),
    Column("trial_ended_as", one_of(TrialState, "trial_ended_as")),
    # Why the job's driver wants the trial to end early; null while it does not.
    Column("prune_reason", Text),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Index(None, "job_id", "state"),
    Index(None, "trial_id"),
    Index(None, "state", "lease_expires_at"),
)

records = Table(
    "records",
    metadata,
    Column("trial_id", ID, ForeignKey("trials.id"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("phase", one_of(Phase, "phase"), nullable=False),
    Column("train_loss", Double, nullable=False),
    Column("validation_loss", Double, nullable=False),
    Column("validation_accuracy", Double, nullable=False),
    Column("widths", JSON, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("macs", BigInteger, nullable=False),
    Column("lam", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    sqlite_with_rowid=False,
)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("trial_id", ID, ForeignKey("trials.id"), primary_key=True),
    # UTF-8 bytes from the beginning of the trial's log, over all of its attempts.
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_id", ID, ForeignKey("attempts.id"), nullable=False),
    # The same from the beginning of the attempt's.
    Column("offset", BigInteger, nullable=False),
    Column("num_bytes", BigInteger, nullable=False),
    Column("num_lines", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Index(None, "attempt_id"),
)

events = Table(
    "events",
    metadata,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    # No foreign key: the last event tells that the job was deleted.
    Column("job_id", ID, nullable=False),
    Column("trial_id", ID, ForeignKey("trials.id")),
    Column("kind", String(16), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index(None, "job_id", "id"),
    Index(None, "trial_id"),
    sqlite_autoincrement=True,
)
