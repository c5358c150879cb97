"""The tables; a change here needs a migration, and a test compares the two."""

from enum import StrEnum

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Double,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from service.store.clock import UtcTime
from shrinknets.wire import (
    AttemptState,
    DatasetSource,
    ExportFormat,
    JobState,
    Method,
    Outcome,
    Phase,
    Role,
    TrialState,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite counts up by itself only in a column of exactly this type.
_Sequence = BigInteger().with_variant(Integer, "sqlite")
_Id = String(32)
_Sha256 = String(64)


def _one_of(enum: type[StrEnum], name: str) -> Enum:
    return Enum(
        enum,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )


jobs = Table(
    "jobs",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("state", _one_of(JobState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("spec", JSON, nullable=False),
    Column("name", String(200), nullable=False, server_default=""),
    # For searching: databases do not agree on which letters are the same in small.
    Column("folded_name", Text, nullable=False, server_default=""),
    Column("dataset", String(200), nullable=False, server_default=""),
    Column("priority", BigInteger, nullable=False, server_default="0"),
    # Who submitted it. No foreign key: the key of a server's own worker is in no table.
    Column("key_id", _Id),
    Column("total_trials", BigInteger, nullable=False),
    Column("worker", String(200)),
    Column("token_digest", _Sha256),
    Column("lease_expires_at", UtcTime),
    Column("cancel_requested_at", UtcTime),
    Column("pause_requested_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Index(None, "state", "seq"),
    Index(None, "dataset", "seq"),
    Index(None, "priority", "seq"),
    Index(None, "ended_at", "seq"),
    Index(None, "key_id", "state"),
    sqlite_autoincrement=True,
)
# Claims take the highest priority and of that the oldest, whatever the length of the queue.
Index("ix_jobs_queue", jobs.c.state, jobs.c.priority.desc(), jobs.c.seq)

job_methods = Table(
    "job_methods",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.id"), primary_key=True),
    Column("method", _one_of(Method, "method"), primary_key=True),
    Index(None, "method", "job_id"),
)

job_labels = Table(
    "job_labels",
    metadata,
    Column("job_id", _Id, ForeignKey("jobs.id"), primary_key=True),
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
    Column("body_digest", _Sha256, nullable=False),
    # Deferred: the key is taken first, and who comes second waits for it before making a job.
    Column(
        "job_id", _Id, ForeignKey("jobs.id", deferrable=True, initially="DEFERRED"), nullable=False
    ),
    Column("created_at", UtcTime, nullable=False),
    Index(None, "job_id"),
    Index(None, "created_at"),
)

trials = Table(
    "trials",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("job_id", _Id, ForeignKey("jobs.id"), nullable=False),
    Column("method", _one_of(Method, "method"), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("state", _one_of(TrialState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("params", JSON, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("epochs", BigInteger, nullable=False),
    Column("train_seconds", Double, nullable=False),
    Column("validation_accuracy", Double),
    Column("widths", JSON, nullable=False),
    Column("parameters", BigInteger),
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
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("jobs.id"), nullable=False),
    Column("trial_id", _Id, ForeignKey("trials.id"), nullable=False),
    Column("state", _one_of(AttemptState, "state"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("token_digest", _Sha256, nullable=False, unique=True),
    Column("lease_expires_at", UtcTime, nullable=False),
    Column("seen_at", UtcTime),
    Column("trial_ended_as", _one_of(TrialState, "trial_ended_as")),
    Column("started_at", UtcTime, nullable=False),
    Column("ended_at", UtcTime),
    Index(None, "job_id", "state"),
    Index(None, "trial_id"),
    Index(None, "state", "lease_expires_at"),
)

records = Table(
    "records",
    metadata,
    Column("trial_id", _Id, ForeignKey("trials.id"), primary_key=True),
    Column("step", BigInteger, primary_key=True, autoincrement=False),
    Column("phase", _one_of(Phase, "phase"), nullable=False),
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

artifacts = Table(
    "artifacts",
    metadata,
    Column("sha256", _Sha256, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    # When it was handed in last: whoever finds it there already counts on it from then on.
    Column("created_at", UtcTime, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("device", String(200), nullable=False),
    Column("first_seen_at", UtcTime, nullable=False),
    Column("last_seen_at", UtcTime, nullable=False),
    Index(None, "last_seen_at"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("folded_name", String(63), nullable=False),
    Column("source", _one_of(DatasetSource, "source"), nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("test_rows", BigInteger),
    Column("input_shape", JSON, nullable=False),
    Column("num_classes", BigInteger, nullable=False),
    Column("class_counts", JSON, nullable=False),
    Column("dtype", String(16), nullable=False),
    Column("sha256", _Sha256, ForeignKey("artifacts.sha256")),
    Column("size_bytes", BigInteger),
    Column("key_id", _Id),
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
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("job_id", _Id, ForeignKey("jobs.id"), nullable=False),
    Column("trial_id", _Id, ForeignKey("trials.id"), nullable=False),
    Column("widths", JSON, nullable=False),
    Column("hidden_units", BigInteger, nullable=False),
    Column("parameters", BigInteger, nullable=False),
    Column("macs", BigInteger, nullable=False),
    Column("validation_accuracy", Double, nullable=False),
    Column("test_accuracy", Double, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("lam", Double, nullable=False),
    Column("weights_sha256", _Sha256, ForeignKey("artifacts.sha256"), nullable=False),
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
    Column("network_id", _Id, ForeignKey("networks.id"), primary_key=True),
    Column("format", _one_of(ExportFormat, "format"), primary_key=True),
    Column("job_id", _Id, ForeignKey("jobs.id"), nullable=False),
    # Null where the export failed; then there is a reason.
    Column("sha256", _Sha256, ForeignKey("artifacts.sha256")),
    Column("bytes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "job_id"),
    Index(None, "sha256"),
)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("trial_id", _Id, ForeignKey("trials.id"), primary_key=True),
    # UTF-8 bytes from the beginning of the trial's log, over all of its attempts.
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("attempt_id", _Id, ForeignKey("attempts.id"), nullable=False),
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
    Column("id", _Sequence, primary_key=True, autoincrement=True),
    # No foreign key: the last event tells that the job was deleted.
    Column("job_id", _Id, nullable=False),
    Column("trial_id", _Id, ForeignKey("trials.id")),
    Column("kind", String(16), nullable=False),
    Column("at", UtcTime, nullable=False),
    Index(None, "job_id", "id"),
    Index(None, "trial_id"),
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    Column("seq", _Sequence, primary_key=True, autoincrement=True),
    Column("id", _Id, nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("owner", String(200), nullable=False),
    Column("role", _one_of(Role, "role"), nullable=False),
    Column("digest", _Sha256, nullable=False, unique=True),
    Column("prefix", String(16), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("last_used_at", UtcTime),
    sqlite_autoincrement=True,
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Sequence, primary_key=True, autoincrement=True),
    Column("at", UtcTime, nullable=False),
    # No foreign key: the key of a server's own worker is in no table.
    Column("key_id", _Id),
    Column("owner", String(200), nullable=False),
    Column("action", String(32), nullable=False),
    Column("object", String(200), nullable=False),
    Column("outcome", _one_of(Outcome, "outcome"), nullable=False),
    sqlite_autoincrement=True,
)
