"""Brings a database to the schema of this version, and says where it is not."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from service.errors import SchemaError, UnavailableError
from service.store.engine import make_engine
from service.store.transactions import Reading

_MIGRATION_LOCK = 7_239_004_188


def upgrade_to_head(url: str) -> None:
    """Run all migrations that the database lacks. Raises UnavailableError, SchemaError."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name == "postgresql":
                # Services that start together take turns.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            command.upgrade(_config(connection), "head")
    except CommandError as error:
        raise SchemaError(
            f"The database was made by another version of this program: {error}."
        ) from error
    except DatabaseError as error:
        raise UnavailableError(f"Cannot use the database: {error.orig}") from error
    finally:
        engine.dispose()


def require_head(url: str) -> None:
    """Raises SchemaError where migrations are missing, UnavailableError without a database."""
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    except DatabaseError as error:
        raise UnavailableError(f"Cannot use the database: {error.orig}") from error
    finally:
        engine.dispose()
    if current != _head():
        raise _other_schema(current)


def require_head_in(tx: Reading) -> None:
    """Raises SchemaError where the database is not at this version's schema, by one query."""
    try:
        current = tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    except DatabaseError as error:
        raise SchemaError(f"The database's schema cannot be read: {error.orig}") from error
    if current != _head():
        raise _other_schema(current)


def schema_revision(tx: Reading) -> str:
    """The revision that the database is at."""
    return str(tx.connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


@cache
def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _other_schema(current: str | None) -> SchemaError:
    return SchemaError(
        f"The database's schema is {current or 'empty'}, this version needs {_head()}: run "
        "`python -m service migrate`, or set SHRINKNETS_MIGRATE_ON_START=true."
    )


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
