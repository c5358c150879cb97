"""Stored files, and what refers to them."""

from sqlalchemy import JSON, BigInteger, Column, Double, ForeignKey, Index, String, Table, Text

from service.store.clock import UtcTime
from service.store.tables.columns import ID, SEQUENCE, SHA256, metadata, one_of
from shrinknets.wire import DatasetSource, ExportFormat

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", SHA256, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    # When it was handed in last: whoever finds it there already counts on it from then on.
    Column("created_at", UtcTime, nullable=False),
)

datasets = Table(
    "datasets",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("folded_name", String(63), nullable=False),
    Column("source", one_of(DatasetSource, "source"), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("test_rows", BigInteger),
    Column("input_shape", JSON, nullable=False),
    Column("num_classes", BigInteger, nullable=False),
    Column("class_counts", JSON, nullable=False),
    Column("dtype", String(16), nullable=False),
    Column("sha256", SHA256, ForeignKey("artifacts.sha256")),
    Column("size_bytes", BigInteger),
    Column("key_id", ID),
    Column("owner", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "rows", "seq"),
    Index(None, "sha256"),
    Index(None, "key_id"),
    sqlite_autoincrement=True,
)

networks = Table(
    "networks",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", ID, nullable=False, unique=True),
    Column("job_id", ID, ForeignKey("jobs.id"), nullable=False),
    Column("trial_id", ID, ForeignKey("trials.id"), nullable=False),
    Column("widths", JSON, nullable=False),
    Column("hidden_units", BigInteger, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("macs", BigInteger, nullable=False),
    Column("validation_accuracy", Double, nullable=False),
    Column("test_accuracy", Double, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("lam", Double, nullable=False),
    Column("latency_ms", Double),
    Column("weights_sha256", SHA256, ForeignKey("artifacts.sha256"), nullable=False),
    Column("weights_bytes", BigInteger, nullable=False),
    Index(None, "job_id", "seq"),
    Index(None, "trial_id", "seq"),
    Index(None, "parameters", "seq"),
    Index(None, "macs", "seq"),
    Index(None, "validation_accuracy", "seq"),
    Index(None, "test_accuracy", "seq"),
    Index(None, "weights_sha256"),
    sqlite_autoincrement=True,
)

exports = Table(
    "exports",
    metadata,
    Column("network_id", ID, ForeignKey("networks.id"), primary_key=True),
    Column("format", one_of(ExportFormat, "format"), primary_key=True),
    Column("job_id", ID, ForeignKey("jobs.id"), nullable=False),
    # Null where the export failed; then there is a reason.
    Column("sha256", SHA256, ForeignKey("artifacts.sha256")),
    Column("bytes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "job_id"),
    Index(None, "sha256"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("trial_id", ID, ForeignKey("trials.id"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", SHA256, ForeignKey("artifacts.sha256"), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "sha256"),
)

# Weights of networks that a trial found before its checkpoint and hands in at its end.
checkpoint_files = Table(
    "checkpoint_files",
    metadata,
    Column("trial_id", ID, ForeignKey("trials.id"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("sha256", SHA256, ForeignKey("artifacts.sha256"), primary_key=True),
    Index(None, "sha256"),
)
