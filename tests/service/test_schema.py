"""The migrations make what the tables say."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.errors import SchemaError, UnavailableError
from service.store import require_head, upgrade_to_head
from service.store.engine import make_engine
from service.store.schema import _config
from service.store.tables import metadata


def test_models_equal_migrations(database_url: str) -> None:
    engine = make_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    upgrade_to_head(empty_database_url)
    upgrade_to_head(empty_database_url)
    require_head(empty_database_url)


def test_an_older_database_keeps_what_is_in_it(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with engine.begin() as connection:
        command.upgrade(_config(connection), "0001")
        connection.exec_driver_sql(
            "INSERT INTO jobs (id, state, reason, spec, total_trials, created_at)"
            " VALUES ('job-1', 'queued', '', '{}', 1, '2026-01-01 00:00:00+00')"
        )
    upgrade_to_head(empty_database_url)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT id FROM jobs").scalar_one() == "job-1"
        assert connection.exec_driver_sql("SELECT count(*) FROM workers").scalar_one() == 0
    engine.dispose()


def test_a_database_without_tables_is_refused_with_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(SchemaError, match=r"is empty, this version needs .* service migrate"):
        require_head(empty_database_url)


def test_a_server_that_is_away_is_told_in_words() -> None:
    with pytest.raises(UnavailableError, match="Cannot use the database"):
        upgrade_to_head("postgresql://nobody@127.0.0.1:1/none")
