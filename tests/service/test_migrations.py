"""Migrations keep what an older version stored, and fill in what it did not know."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from service.store import (
    Slice,
    Store,
    audit,
    claims,
    datasets,
    exports,
    job_lists,
    jobs,
    keys,
    networks,
    removal,
    require_head,
    trial_logs,
    upgrade_to_head,
)
from service.store.datasets import DatasetFilter
from service.store.engine import make_engine
from service.store.job_lists import JobFilter
from service.store.schema import _config
from shrinknets.wire import BuiltInDataset, DatasetSort, JobSort, JobSpec, Method, Role
from tests.service import hands
from tests.service.actors import spec

JOB = """
    INSERT INTO jobs (id, state, reason, spec, total_trials, created_at)
    VALUES ('job-0000000001', 'succeeded', '', :spec, 2, :at)
"""
EVENT = "INSERT INTO events (job_id, kind, at) VALUES ('job-0000000001', 'job', :at)"
TIME = "2026-01-02 03:04:05.000000"


def upgrade(url: str, revision: str) -> Engine:
    engine = make_engine(url)
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)
    return engine


def submit_as_in_0001(engine: Engine, job_id: str, state: str, body: dict[str, Any]) -> None:
    stored = JobSpec.model_validate(body).model_dump_json()
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO jobs (id, state, reason, spec, total_trials, created_at, ended_at) "
                "VALUES (:id, :state, '', :spec, 2, :time, :ended)"
            ),
            {
                "id": job_id,
                "state": state,
                "spec": stored,
                "time": TIME,
                "ended": TIME if state == "failed" else None,
            },
        )


@pytest.fixture
def upgraded(empty_database_url: str) -> str:
    """A database that was filled by the first version and then migrated."""
    engine = upgrade(empty_database_url, "0001")
    methods = {"path": {}, "fixed": {"trials": 1}}
    submit_as_in_0001(engine, "job-a", "failed", spec(name="Größe", dataset="wine", seed=9))
    submit_as_in_0001(engine, "job-b", "queued", spec(methods=methods))
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO events (job_id, kind, at) VALUES ('job-a', 'job', :time)"),
            {"time": TIME},
        )
    engine.dispose()
    upgrade_to_head(empty_database_url)
    return empty_database_url


def test_jobs_of_the_first_version_are_found_by_name_data_set_and_method(upgraded: str) -> None:
    def found(which: JobFilter) -> list[str]:
        with store.reading() as tx:
            return [job.id for job in job_lists.list_jobs(tx, Slice(), which=which).items]

    with Store(upgraded) as store:
        assert found(JobFilter(text="GRÖSSE")) == ["job-a"]
        assert found(JobFilter(dataset="digits")) == ["job-b"]
        assert found(JobFilter(method=Method.PATH)) == ["job-b"]
        assert found(JobFilter(method=Method.FIXED)) == ["job-b"]
        assert found(JobFilter(method=Method.SHRINKNETS)) == ["job-a"]
        assert found(JobFilter(method=Method.FIXED_L2)) == []


def test_jobs_of_the_first_version_are_read_and_claimed(upgraded: str) -> None:
    with Store(upgraded) as store:
        with store.reading() as tx:
            old = jobs.get_job(tx, "job-a")
            by_end = job_lists.list_jobs(tx, Slice(), sort=JobSort.ENDED).items
        assert (old.name, old.labels, old.priority, old.spec.seed) == ("Größe", {}, 0, 9)
        assert [job.id for job in by_end] == ["job-a", "job-b"]
        with store.writing() as tx:
            claim = claims.claim_job(tx, worker="w", lease_seconds=9)
        assert claim is not None
        assert claim.job.id == "job-b"


def test_data_sets_that_every_worker_has_are_there_from_the_start(upgraded: str) -> None:
    with Store(upgraded) as store:
        with store.reading() as tx:
            found = datasets.list_datasets(
                tx, Slice(), which=DatasetFilter(), sort=DatasetSort.CREATED
            ).items
            users = {one.name: datasets.get_dataset(tx, one.name).jobs for one in found}
        with store.writing() as tx:
            jobs.create_job(tx, JobSpec.model_validate(spec(dataset="wine")))
    assert [one.name for one in found] == list(BuiltInDataset)
    assert users == {"digits": ["job-b"], "breast_cancer": [], "wine": ["job-a"]}


def test_a_database_can_be_taken_back_to_the_first_version(upgraded: str) -> None:
    engine = make_engine(upgraded)
    with engine.begin() as connection:
        command.downgrade(_config(connection), "0001")
    with engine.begin() as connection:
        stored = connection.execute(text("SELECT id, spec FROM jobs ORDER BY seq")).all()
        assert [row.id for row in stored] == ["job-a", "job-b"]
        first = stored[0].spec if isinstance(stored[0].spec, dict) else json.loads(stored[0].spec)
        assert first["name"] == "Größe"
    engine.dispose()


def test_keys_of_submissions_go_to_who_used_them_and_back(empty_database_url: str) -> None:
    engine = upgrade(empty_database_url, "0003")
    owners = {"job-a": ("key-1", "ada"), "job-b": (None, "anybody"), "job-c": None}
    with engine.begin() as connection:
        for job_id, who in owners.items():
            values = {"id": job_id, "time": TIME, "spec": "{}", "key": f"k-{job_id}"}
            connection.execute(
                text(
                    "INSERT INTO jobs (id, state, reason, spec, total_trials, created_at) "
                    "VALUES (:id, 'queued', '', :spec, 2, :time)"
                ),
                values,
            )
            connection.execute(
                text("INSERT INTO idempotency_keys VALUES (:key, 'digest', :id, :time)"), values
            )
            connection.execute(
                text("INSERT INTO events (job_id, kind, at) VALUES (:id, 'job', :time)"), values
            )
            if who is not None:
                note = "INSERT INTO audit (at, key_id, owner, action, object, outcome) VALUES "
                values |= {"key_id": who[0], "owner": who[1]}
                connection.execute(
                    text(note + "(:time, :key_id, :owner, 'job.submit', :id, 'success')"), values
                )
    engine.dispose()
    upgrade_to_head(empty_database_url)
    engine = make_engine(empty_database_url)
    query = text("SELECT job_id, owner FROM idempotency_keys ORDER BY job_id")
    with engine.begin() as connection:
        found = [tuple(row) for row in connection.execute(query)]
        assert found == [("job-a", "ada"), ("job-b", ""), ("job-c", "")]
        twice = "SELECT 'bob', key, body_digest, job_id, created_at FROM idempotency_keys"
        connection.execute(text(f"INSERT INTO idempotency_keys {twice} WHERE owner = 'ada'"))
        connection.execute(
            text("INSERT INTO events (job_id, kind, at) VALUES ('job-gone', 'deleted', :t)"),
            {"t": TIME},
        )
    with engine.begin() as connection:
        command.downgrade(_config(connection), "0003")
    with engine.connect() as connection:
        count = "SELECT count(*) FROM "
        assert connection.execute(text(count + "idempotency_keys")).scalar_one() == 3
        assert connection.execute(text(count + "events")).scalar_one() == 3
    engine.dispose()
    upgrade_to_head(empty_database_url)


def test_trials_after_a_choice_go_when_their_version_goes(empty_database_url: str) -> None:
    upgrade_to_head(empty_database_url)
    engine = make_engine(empty_database_url)
    submit_as_in_0001(engine, "job-a", "failed", spec())
    trial = (
        "INSERT INTO trials (id, job_id, method, number, state, reason, params, seed, epochs, "
        "train_seconds, widths, created_at) VALUES (:id, 'job-a', :method, 0, 'complete', '', "
        "'{}', 1, 2, 1.0, '[3]', :time)"
    )
    with engine.begin() as connection:
        for method in Method:
            values = {"id": f"trial-{method.value}", "method": method.value, "time": TIME}
            connection.execute(text(trial), values)
            connection.execute(
                text(
                    "INSERT INTO events (job_id, trial_id, kind, at) "
                    "VALUES ('job-a', :id, 'trial', :time)"
                ),
                values,
            )
    with engine.begin() as connection:
        command.downgrade(_config(connection), "0009")
    values = {"id": "trial-b", "method": "retrain", "time": TIME}
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(trial), values)
    with engine.connect() as connection:
        left = connection.execute(text("SELECT method FROM trials ORDER BY seq")).scalars()
        assert list(left) == [method for method in Method if method.is_search]
    engine.dispose()
    upgrade_to_head(empty_database_url)
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        connection.execute(text(trial), values)
    engine.dispose()


def test_families_of_jobs_are_taken_out_of_their_specs(empty_database_url: str) -> None:
    engine = upgrade(empty_database_url, "0011")
    specs = {"job-a": {}, "job-b": {"network": {"family": "lenet5"}}, "job-c": {"network": {}}}
    for job_id, changes in specs.items():
        submit_as_in_0001(engine, job_id, "queued", spec(**changes))
    from_before_families = {"network": {"widths": [3]}}
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET spec = :spec WHERE id = 'job-c'"),
            {"spec": json.dumps(spec(**from_before_families))},
        )
    for _ in range(2):
        upgrade_to_head(empty_database_url)
        with engine.begin() as connection:
            found = connection.execute(text("SELECT id, family FROM jobs ORDER BY id")).all()
            assert [tuple(row) for row in found] == [
                ("job-a", "mlp"),
                ("job-b", "lenet5"),
                ("job-c", "mlp"),
            ]
            command.downgrade(_config(connection), "0011")
    engine.dispose()
    upgrade_to_head(empty_database_url)
    with Store(empty_database_url) as store:
        given = [hands.find_claim(store) for _ in range(3)]
    assert [claim and claim.job.id for claim in given] == ["job-a", "job-c", None]


def test_every_migration_has_a_name_that_begins_with_its_revision() -> None:
    folder = Path(__file__).parents[2] / "service" / "store" / "migrations" / "versions"
    for path in folder.glob("0*.py"):
        assert f'revision = "{path.name[:4]}"' in path.read_text()


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
            (job,) = job_lists.list_jobs(tx, Slice()).items
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
            assert len(job_lists.list_jobs(tx, Slice()).items) == 2


def test_networks_of_older_versions_have_no_exports_and_trials_no_log(
    empty_database_url: str,
) -> None:
    engine = upgrade(empty_database_url, "0003")
    submit_as_in_0001(engine, "job-a", "failed", spec())
    sha256 = "0" * 64
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO trials (id, job_id, method, number, state, reason, params, seed, "
                "epochs, train_seconds, widths, created_at) VALUES ('trial-a', 'job-a', 'path', "
                "0, 'complete', '', '{}', 1, 2, 1.0, '[3]', :time)"
            ),
            {"time": TIME},
        )
        connection.execute(
            text("INSERT INTO artifacts (sha256, size_bytes, created_at) VALUES (:s, 3, :time)"),
            {"s": sha256, "time": TIME},
        )
        connection.execute(
            text(
                "INSERT INTO networks (id, job_id, trial_id, widths, hidden_units, parameters, "
                "macs, validation_accuracy, test_accuracy, step, lam, weights_sha256, "
                "weights_bytes) VALUES ('net-a', 'job-a', 'trial-a', '[3]', 3, 9, 9, 0.5, 0.5, "
                "1, 0.0, :s, 3)"
            ),
            {"s": sha256},
        )
    engine.dispose()
    upgrade_to_head(empty_database_url)
    with Store(empty_database_url) as store:
        with store.reading() as tx:
            assert networks.get_network(tx, "net-a").exports == ()
            assert trial_logs.read_log(tx, "trial-a").attempts == []
            (file,) = exports.list_artifacts(tx, "trial-a", content_type="x")
        assert (file.name, file.sha256) == ("net-a.safetensors", sha256)
        with store.writing() as tx:
            assert removal.delete_job(tx, "job-a") == [sha256]
