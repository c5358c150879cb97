"""A database of an earlier version is brought to this one with all that it holds."""

from datetime import UTC, datetime

from alembic import command
from sqlalchemy import text

from service.store import Slice, Store, audit, jobs, keys, require_head, upgrade_to_head
from service.store.engine import make_engine
from service.store.schema import _config
from shrinknets.wire import JobSpec, Role
from tests.service.actors import spec

JOB = """
    INSERT INTO jobs (id, state, reason, spec, total_trials, created_at)
    VALUES ('job-0000000001', 'succeeded', '', :spec, 2, :at)
"""
EVENT = "INSERT INTO events (job_id, kind, at) VALUES ('job-0000000001', 'job', :at)"


def test_what_version_1_stored_is_there_in_this_version(empty_database_url: str) -> None:
    job_spec = JobSpec.model_validate(spec(name="old"))
    at = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
    stored_at = at.strftime("%Y-%m-%d %H:%M:%S.%f+00")
    if empty_database_url.startswith("sqlite"):
        stored_at = stored_at.removesuffix("+00")
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        command.upgrade(_config(connection), "0001")
        values = {"spec": job_spec.model_dump_json(), "at": stored_at}
        connection.execute(text(JOB), values)
        connection.execute(text(EVENT), {"at": stored_at})
    engine.dispose()

    upgrade_to_head(empty_database_url)
    require_head(empty_database_url)
    with Store(empty_database_url) as store:
        with store.reading() as tx:
            (job,) = jobs.list_jobs(tx, Slice()).items
            assert not keys.has_keys(tx)
            assert audit.list_entries(tx, Slice()).items == []
        assert (job.id, job.spec, job.created_at) == ("job-0000000001", job_spec, at)
        with store.writing() as tx:
            made, _ = keys.create_key(
                tx, role=Role.ADMIN, owner="me", name="", expires_in_days=None
            )
            jobs.create_job(tx, job_spec)
        with store.reading() as tx:
            assert keys.get_key(tx, made.id) == made
            assert len(jobs.list_jobs(tx, Slice()).items) == 2
