"""The database's clock in SQL, the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """A time in UTC: `timestamptz` on PostgreSQL, sortable text with microseconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        # SQLite forgets the zone; PostgreSQL answers in the session's.
        if value is None or value.tzinfo is None:
            return None if value is None else value.replace(tzinfo=UTC)
        return value.astimezone(UTC)


class now(FunctionElement[datetime]):  # noqa: N801 (it reads as the SQL function that it is)
    """The time at which the statement runs, plus an offset; not that of the transaction's start."""

    type = UtcTime()
    inherit_cache = False  # the offset is part of the text

    def __init__(self, *, plus_seconds: float = 0.0) -> None:
        super().__init__()
        self.plus_seconds = plus_seconds


@compiles(now, "sqlite")
def _on_sqlite(element: now, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ARG001
    # %f has milliseconds; the zeros make it the text that SQLAlchemy itself writes.
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{element.plus_seconds:+.3f} seconds')"


@compiles(now, "postgresql")
def _on_postgresql(element: now, compiler: SQLCompiler, **_: Any) -> str:  # noqa: ARG001
    return f"(clock_timestamp() + interval '{element.plus_seconds:.3f} seconds')"
