"""Makes the database engine and gives SQLite the manners of a server."""

import math
import sqlite3
import time
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from service.errors import UnavailableError

BUSY_MILLISECONDS = 30_000
REST_SECONDS = 5.0
BEGIN = "sqlite_begin"
"""The execution option that says how a SQLite transaction begins."""


def make_engine(url: str) -> Engine:
    """An engine for a `sqlite:///` or `postgresql://` URL; makes the SQLite file's folder.

    Raises UnavailableError where that can't be made, or the URL not be read.
    """
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            return _sqlite_engine(parsed.set(drivername="sqlite"))
        engine = create_engine(parsed.set(drivername="postgresql+psycopg"))
    except (ArgumentError, ValueError) as error:
        raise UnavailableError("The database URL cannot be read.") from error
    _ping_after_rest(engine)
    return engine


def _ping_after_rest(engine: Engine) -> None:
    """Have a connection made anew that the database closed while nobody used it.

    One that was used just now is not asked, which would cost every transaction a round trip.
    """
    error_class = engine.dialect.loaded_dbapi.Error

    def note_use(_: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info["used_at"] = time.monotonic()

    def ping(connection: DBAPIConnection, entry: ConnectionPoolEntry, _: object) -> None:
        if time.monotonic() - entry.info.get("used_at", math.inf) < REST_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except error_class as error:
            raise DisconnectionError from error

    event.listen(engine, "checkin", note_use)
    event.listen(engine, "checkout", ping)


def _sqlite_engine(url: URL) -> Engine:
    if url.database:
        _make_folder(Path(url.database).absolute().parent)
    engine = create_engine(url, connect_args={"timeout": BUSY_MILLISECONDS / 1000})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnavailableError(
            f"Cannot make the data folder {folder}: {error.strerror}. Choose another with "
            "--data-dir or SHRINKNETS_DATA_DIR."
        ) from error


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)
    # Without this the driver begins by itself, late and never IMMEDIATE.
    connection.isolation_level = None
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={BUSY_MILLISECONDS}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))
