"""Reads the newest events once for all streams of this process, and keeps them for a while."""

import asyncio
import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from fastapi.sse import format_sse_event

from service.bell import Bell
from service.errors import UnavailableError
from service.store import Store, events
from shrinknets.wire import Event

MAX_KEPT = 10_000
"""So many events are kept for readers that lag behind; older ones they read from the database."""
MAX_READ = 500
PAUSE_PER_READER = 0.0002
"""Seconds between two readings: with many readers, events go out in larger parts."""
MAX_PAUSE = 0.25
RETRY_SECONDS = 1.0

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """What a reader is to be sent next, and where it stands afterwards."""

    content: bytes
    last: int
    is_end: bool = False
    """Whether the reader's job was deleted, so that nothing follows."""


@dataclass(frozen=True)
class Batch:
    """Events in their order, written out once for all readers."""

    events: Sequence[Event]
    """At least one."""

    @property
    def last(self) -> int:
        return self.events[-1].id

    def after(self, last: int, job_id: str | None) -> Part:
        """What of it follows an event, of one job or of all."""
        start = bisect_right(self.events, last, key=lambda event: event.id)
        if job_id is None:
            content = self._whole if start == 0 else b"".join(self._written[start:])
            return Part(content, self.last)
        mine = [at for at in self._by_job.get(job_id, ()) if at >= start]
        content = b"".join(self._written[at] for at in mine)
        return Part(content, self.last, bool(mine) and self.events[mine[-1]].kind == "deleted")

    @cached_property
    def _written(self) -> list[bytes]:
        return [format_sse_event(id=str(e.id), data_str=e.model_dump_json()) for e in self.events]

    @cached_property
    def _whole(self) -> bytes:
        return b"".join(self._written)

    @cached_property
    def _by_job(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for at, event in enumerate(self.events):
            places.setdefault(event.job_id, []).append(at)
        return places


class Feed:
    """The newest events of all jobs; its methods belong to the loop that it runs in.

    A reader is nothing but a place in it, so a slow one costs no memory and holds nobody up.
    """

    def __init__(self, store: Store, bell: Bell, *, max_readers: int) -> None:
        self._store = store
        self._bell = bell
        self._max_readers = max_readers
        self._batches: deque[Batch] = deque()
        self._num_kept = 0
        self._start: int | None = None
        self._last = 0
        self._changed = asyncio.Event()
        self.num_readers = 0

    @property
    def is_full(self) -> bool:
        return self.num_readers >= self._max_readers

    @property
    def is_closed(self) -> bool:
        return self._bell.is_closed

    @contextmanager
    def reader(self) -> Iterator[None]:
        """Count a reader for as long as the block runs; without any, nothing is read."""
        self.num_readers += 1
        if self.num_readers == 1:
            self._bell.ring()
        try:
            yield
        finally:
            self.num_readers -= 1

    async def run(self) -> None:
        """Read what happens, until the bell is closed."""
        while not self._bell.is_closed:
            rings = self._bell.rings
            if not self.num_readers:
                self._forget()
            elif await self._read_more():
                await asyncio.sleep(min(MAX_PAUSE, PAUSE_PER_READER * self.num_readers))
                continue
            await self._bell.wait_after(rings)
        self._wake()

    def after(self, last: int, job_id: str | None) -> Part | None:
        """What follows an event; None where it is too old, or nothing was read yet."""
        if self._start is None or last < self._start:
            return None
        # From the newest back: nearly all readers are at the end.
        found: Batch | None = None
        for batch in reversed(self._batches):
            if batch.last <= last:
                break
            found = batch
        return Part(b"", last) if found is None else found.after(last, job_id)

    async def wait_beyond(self, last: int, *, seconds: float) -> bool:
        """Wait until something follows an event, or the feed is closed; False after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while self._last <= last and not self._bell.is_closed:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _read_more(self) -> bool:
        try:
            news, latest = await asyncio.to_thread(self._read)
        except UnavailableError:
            _logger.exception("Streams of events wait for the database.")
            await asyncio.sleep(RETRY_SECONDS)
            return True
        if self._start is None:
            self._start = self._last = latest
            self._wake()
        elif news:
            self._keep(Batch(news))
            self._wake()
        return bool(news)

    def _read(self) -> tuple[list[Event], int]:
        with self._store.reading() as tx:
            if self._start is None:
                return [], events.latest_event_id(tx)
            return events.read_events(tx, after=self._last, limit=MAX_READ), 0

    def _keep(self, batch: Batch) -> None:
        self._batches.append(batch)
        self._num_kept += len(batch.events)
        self._last = batch.last
        while self._num_kept > MAX_KEPT:
            oldest = self._batches.popleft()
            self._num_kept -= len(oldest.events)
            self._start = oldest.last

    def _forget(self) -> None:
        self._batches.clear()
        self._num_kept, self._start, self._last = 0, None, 0

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
