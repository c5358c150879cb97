"""The database's clock in SQL, the same on SQLite and on PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BindParameter, DateTime, Dialect, Double, literal
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
    inherit_cache = True

    def __init__(self, *, plus_seconds: float | BindParameter[float] | None = None) -> None:
        # A bound value: were it part of the text, every statement with it would be compiled anew.
        if plus_seconds is None:
            super().__init__()
        elif isinstance(plus_seconds, BindParameter):
            super().__init__(plus_seconds)
        else:
            super().__init__(literal(plus_seconds, Double()))


@compiles(now, "sqlite")
def _on_sqlite(element: now, compiler: SQLCompiler, **options: Any) -> str:
    # %f has milliseconds; the zeros make it the text that SQLAlchemy itself writes.
    if not element.clauses.clauses:
        return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    seconds = compiler.process(element.clauses.clauses[0], **options)
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', printf('%+.3f seconds', {seconds}))"


@compiles(now, "postgresql")
def _on_postgresql(element: now, compiler: SQLCompiler, **options: Any) -> str:
    if not element.clauses.clauses:
        return "clock_timestamp()"
    seconds = compiler.process(element.clauses.clauses[0], **options)
    return f"(clock_timestamp() + make_interval(secs => {seconds}))"
