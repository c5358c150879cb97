"""Refuses bodies that are too large or come too slowly, with a problem as for every other error."""

import asyncio
from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import beyond, too_large
from service.settings import Settings

MAX_BODY_BYTES = 32 * 2**20
"""The largest request, files apart: ten times what the largest batch of records takes."""
MAX_FILE_BYTES = 4 * 2**30
FILES_PREFIX = "/api/v1/worker/artifacts/"
DATASETS_PATH = "/api/v1/datasets"
BODY_BYTES_PER_SECOND = 10 * 2**10
"""A body that comes more slowly is held against its sender, after a while of patience."""
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS"})


class BodyLimits:
    """ASGI middleware. FastAPI's own limit answers with plain text."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._max_dataset_bytes = settings.max_dataset_bytes
        self._slow_body_seconds = settings.slow_body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            await too_large(limit)(scope, receive, send)
            return
        # A stream of events waits in `receive` for its reader to leave, for hours.
        seconds = None if scope["method"] in _WITHOUT_BODY else self._slow_body_seconds
        body = _Body(receive, limit=limit, seconds=seconds)
        await self._app(scope, body.receive, body.watching(send))

    def _limit(self, path: str) -> int:
        if path.startswith(FILES_PREFIX):
            return MAX_FILE_BYTES
        return self._max_dataset_bytes if path == DATASETS_PATH else MAX_BODY_BYTES


class _Body:
    """The body of one request on its way in; errors are raised where the app reads it."""

    def __init__(self, receive: Receive, *, limit: int, seconds: float | None) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._size = 0
        self._waited = 0.0

    async def receive(self) -> Message:
        message = await (self._receive() if self._seconds is None else self._receive_in_time())
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, beyond(self._limit))
        if not message.get("more_body", False):
            self._seconds = None
        return message

    def watching(self, send: Send) -> Send:
        """The same `send`; once an answer begins, whatever still comes in has all the time."""

        async def send_and_forget_time(message: Message) -> None:
            self._seconds = None
            await send(message)

        return send_and_forget_time

    async def _receive_in_time(self) -> Message:
        assert self._seconds is not None
        # Only what is spent waiting for the sender counts, not what the app does with the bytes.
        now: Callable[[], float] = asyncio.get_running_loop().time
        begin = now()
        left = self._seconds + self._size / BODY_BYTES_PER_SECOND - self._waited
        try:
            async with asyncio.timeout(max(left, 0)):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(
                HTTPStatus.REQUEST_TIMEOUT,
                f"The body came too slowly: after {self._seconds:g} s there must be at least "
                f"{BODY_BYTES_PER_SECOND:,} bytes a second. Send it again on a better line, or in "
                "smaller parts.",
                {"Connection": "close"},
            ) from None
        self._waited += now() - begin
        return message
