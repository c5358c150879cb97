"""Opens transactions: every change of the database, and the events that tell of it."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Self

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import UnavailableError
from service.store.clock import now
from service.store.engine import BEGIN, make_engine
from service.store.facts import Fact
from service.store.tables import events

# Any number does, as long as nothing else in the database locks it.
EVENTS_LOCK = 7_239_004_187


class Reading:
    """A transaction that reads one state of the database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name


class Writing(Reading):
    """A transaction that changes the database; it is kept whole or not at all."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._events: dict[tuple[str, str | None, str], None] = {}
        self.facts: list[Fact] = []
        """For those who count; to be told after the commit."""

    def tell(self, kind: str, *, job_id: str, trial_id: str | None = None) -> None:
        """Note what changed; the same thing twice in one transaction is told once."""
        self._events[job_id, trial_id, kind] = None

    def commit(self) -> bool:
        """Keep all changes. Returns whether there is anything to tell."""
        if self._events:
            self._insert_events()
        self.connection.commit()
        return bool(self._events)

    def _insert_events(self) -> None:
        if self.dialect == "postgresql":
            # Ids must become visible in their order: a reader never looks back. Taken last and
            # freed by the commit, so nothing else can wait for its holder.
            self.connection.execute(select(func.pg_advisory_xact_lock(EVENTS_LOCK)))
        rows = [
            {"job_id": job_id, "trial_id": trial_id, "kind": kind}
            for job_id, trial_id, kind in self._events
        ]
        self.connection.execute(insert(events).values(at=now()), rows)


class Store:
    """The database.

    A transaction belongs to one thread from its begin to its end. Were it begun in one and used
    in another, those who wait for a lock could take all threads from its holder.
    """

    def __init__(
        self,
        url: str,
        *,
        on_events: Callable[[], None] = lambda: None,
        on_facts: Callable[[Sequence[Fact]], None] = lambda _: None,
    ) -> None:
        """Both are called after each commit that has something to tell."""
        self._engine = make_engine(url)
        is_sqlite = self._engine.dialect.name == "sqlite"
        # In turn is faster and fairer than SQLite's way of sleeping and trying again.
        self._turn = threading.Lock() if is_sqlite else nullcontext()
        self._for_reading = self._engine.execution_options(
            **({BEGIN: "BEGIN"} if is_sqlite else {"isolation_level": "REPEATABLE READ"})
        )
        self._for_writing = self._engine.execution_options(
            **({BEGIN: "BEGIN IMMEDIATE"} if is_sqlite else {"isolation_level": "READ COMMITTED"})
        )
        self._on_events = on_events
        self._on_facts = on_facts

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One consistent view. Raises UnavailableError where the database does not answer."""
        with _translated(), self._for_reading.connect() as connection:
            yield Reading(connection)

    @contextmanager
    def writing(self) -> Iterator[Writing]:
        """One change, committed at the end of the block unless it raises.

        Raises UnavailableError where the database does not answer.
        """
        with _translated(), self._turn, self._for_writing.connect() as connection:
            transaction = Writing(connection)
            yield transaction
            has_news = transaction.commit()
        if has_news:
            self._on_events()
        if transaction.facts:
            self._on_facts(transaction.facts)

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (OperationalError, PoolTimeoutError) as error:
        raise UnavailableError("The database does not answer; try again in a moment.") from error
