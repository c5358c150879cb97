"""Sends events to one reader: first what it missed, then what happens, and why it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from enum import StrEnum

import anyio
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from service.access import Identity
from service.feed import Batch, Part
from service.problems import too_many_streams
from service.services import Services
from service.store import events, jobs

MEDIA_TYPE = "text/event-stream"
KEEPALIVE_SECONDS = 15.0
STALL_SECONDS = 30.0
"""A reader that takes nothing for longer is cut off; it can come back and go on."""
MAX_REPLAYED = 500

# Who catches up must not take all connections to the database from the others.
_replaying = anyio.CapacityLimiter(4)


class End(StrEnum):
    """Why a stream ends; after all but the first the reader may connect again at once."""

    DELETED = "deleted"
    SHUTDOWN = "shutdown"
    SLOW = "slow"
    KEY = "key"


class EventStream(StreamingResponse):
    """The answer to who follows one job or all.

    Not FastAPI's own event streams: they log a traceback for each reader that leaves.
    """

    def __init__(
        self, services: Services, caller: Identity, start: int, *, job_id: str | None
    ) -> None:
        self._chunks = self._events()
        super().__init__(
            self._chunks,
            media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._services = services
        self._feed = services.feed
        self._caller = caller
        self._last = start
        self._job_id = job_id
        self._end = End.SLOW

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._feed.is_full:
            await too_many_streams()(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send until the stream ends or the reader takes no more."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        # The chunk whose time was over was not sent, so the end follows what came before it.
        with self._feed.reader(), suppress(TimeoutError):
            await self._send_all(send)
        # Without a limit: it goes out when the reader reads again, or the connection breaks.
        last = format_sse_event(event="end", data_str=f'{{"reason":"{self._end}"}}')
        await send({"type": "http.response.body", "body": last, "more_body": False})

    async def _send_all(self, send: Send) -> None:
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                async with asyncio.timeout(STALL_SECONDS):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _events(self) -> AsyncGenerator[bytes]:
        # Said at once, so that a reader knows that it is connected.
        yield KEEPALIVE_COMMENT
        part = await self._replay()
        while not part.is_end:
            # Looked at after reading: nothing is told to whose key was revoked meanwhile.
            if not await self._services.access.is_still(self._caller):
                self._end = End.KEY
                return
            if part.content:
                yield part.content
            is_further = part.last > self._last
            self._last = part.last
            if self._feed.is_closed:
                self._end = End.SHUTDOWN
                return
            if not is_further and not await self._feed.wait_beyond(
                self._last, seconds=KEEPALIVE_SECONDS
            ):
                yield KEEPALIVE_COMMENT
            part = self._feed.after(self._last, self._job_id) or await self._replay()
        yield part.content
        self._end = End.DELETED

    async def _replay(self) -> Part:
        return await anyio.to_thread.run_sync(self._read, limiter=_replaying)

    def _read(self) -> Part:
        """What the database has after the reader's place."""
        with self._services.store.reading() as tx:
            news = events.read_events(tx, after=self._last, job_id=self._job_id, limit=MAX_REPLAYED)
            if len(news) == MAX_REPLAYED:
                return Batch(news).after(self._last, self._job_id)
            # All others up to here are of no concern, or were never told in a database that was
            # restored from a copy.
            latest = events.latest_event_id(tx)
            is_gone = self._job_id is not None and not jobs.exists(tx, self._job_id)
        content = Batch(news).after(self._last, self._job_id).content if news else b""
        return Part(content, latest, is_gone)
