"""Opens transactions: every change of the database, and the events that tell of it."""

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from service.errors import UnavailableError
from service.store.announcing import Told, announce
from service.store.engine import BEGIN, make_engine
from service.store.facts import Fact
from service.store.listening import listen
from service.store.news import News


class Reading:
    """A transaction that reads one state of the database."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def dialect(self) -> str:
        return self.connection.dialect.name


class Writing(Reading):
    """A transaction that changes the database; it is kept whole or not at all."""

    def __init__(self, connection: Connection, *, origin: str = "") -> None:
        super().__init__(connection)
        self._origin = origin
        # A set that remembers the order.
        self._told: dict[Told, None] = {}
        self._news = News.EVENTS
        self.facts: list[Fact] = []
        """For those who count; to be told after the commit."""

    def tell(self, kind: str, *, job_id: str, trial_id: str | None = None) -> None:
        """Note what changed; the same thing twice in one transaction is told once."""
        self._told[Told(job_id=job_id, trial_id=trial_id, kind=kind)] = None

    def tell_of_job(self, job_id: str, *, is_queued: bool) -> None:
        """Note that a job changed, and whether it waits for a worker now."""
        self.tell("job", job_id=job_id)
        if is_queued:
            self._news = News.QUEUE

    def commit(self) -> News | None:
        """Keep all changes. Returns what there is to tell."""
        if self._told:
            announce(self.connection, list(self._told), news=self._news, origin=self._origin)
        self.connection.commit()
        return self._news if self._told else None


class Store:
    """The database.

    A transaction belongs to one thread from its begin to its end. Were it begun in one and used
    in another, those who wait for a lock could take all threads from its holder.
    """

    def __init__(
        self,
        url: str,
        *,
        on_news: Callable[[News], None] = lambda _: None,
        on_facts: Callable[[Sequence[Fact]], None] = lambda _: None,
    ) -> None:
        """Both are called after each commit that has something to tell."""
        self._engine = make_engine(url)
        self._origin = secrets.token_hex(4)
        is_sqlite = self._engine.dialect.name == "sqlite"
        # In turn is faster and fairer than SQLite's way of sleeping and trying again.
        self._turn = threading.Lock() if is_sqlite else nullcontext()
        self._for_reading = self._engine.execution_options(
            **({BEGIN: "BEGIN"} if is_sqlite else {"isolation_level": "REPEATABLE READ"})
        )
        self._for_writing = self._engine.execution_options(
            **({BEGIN: "BEGIN IMMEDIATE"} if is_sqlite else {"isolation_level": "READ COMMITTED"})
        )
        self._on_news = on_news
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
            transaction = Writing(connection, origin=self._origin)
            yield transaction
            news = transaction.commit()
        if news is not None:
            self._on_news(news)
        if transaction.facts:
            self._on_facts(transaction.facts)

    @property
    def can_listen(self) -> bool:
        """Whether the database tells what other processes commit."""
        return self._engine.dialect.name == "postgresql"

    async def listen(self) -> None:
        """Call `on_news` for what other processes commit too, until cancelled.

        Only where the database can tell.
        """
        await listen(self._engine, self._on_news, myself=self._origin)

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
