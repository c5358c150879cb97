"""Gives each request an id, and tells log and metrics how it went; delays no byte of an answer."""

import logging
import re
import time
from http import HTTPMethod

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import REQUEST_ID_HEADER
from service.store.ids import Kind, new_id
from shrinknets import logs

EVENT_STREAM = "text/event-stream"
NO_ROUTE = "none"
"""Stands for all addresses that lead nowhere, of which there is no end."""

_SANE_ID = re.compile(r"[A-Za-z0-9_.:=+/-]{1,128}")
_METHODS = frozenset(HTTPMethod)

_logger = logging.getLogger("service.access")


class Watched:
    """ASGI middleware, to be the outermost."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        # Never taken back: a failure is answered and logged outside of all middleware.
        logs.begin(request_id=request_id)
        answer = _Answer(send, request_id, self._metrics)
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            answer.fail()
            raise
        finally:
            answer.end(scope)


class _Answer:
    """What is known of one request's answer."""

    def __init__(self, send: Send, request_id: str, metrics: Metrics) -> None:
        self._send = send
        self._request_id = request_id
        self._metrics = metrics
        self._started = time.perf_counter()
        self._status: int | None = None
        self._seconds_to_stream: float | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers.setdefault(REQUEST_ID_HEADER, self._request_id)
            if headers.get("content-type", "").startswith(EVENT_STREAM):
                self._seconds_to_stream = self._seconds()
                self._metrics.stream_readers.inc()
        await self._send(message)

    def fail(self) -> None:
        """The app raised: unless it had begun to answer, it is answered with 500."""
        if self._status is None:
            self._status = 500

    def end(self, scope: Scope) -> None:
        seconds = self._seconds()
        if self._seconds_to_stream is not None:
            self._metrics.stream_readers.dec()
        route = route_template(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request_ended(
            method=method,
            route=route,
            status="none" if self._status is None else f"{self._status // 100}xx",
            seconds=seconds if self._seconds_to_stream is None else self._seconds_to_stream,
        )
        milliseconds = round(seconds * 1000, 1)
        _logger.info(
            "%s %s %s %.1f ms",
            *(method, scope["path"], self._status, milliseconds),
            extra={
                "fields": {"route": route, "status": self._status, "milliseconds": milliseconds}
            },
        )

    def _seconds(self) -> float:
        return time.perf_counter() - self._started


def route_template(scope: Scope) -> str:
    """The template of the route that took a request, with the prefixes of its routers."""
    own = getattr(scope.get("route"), "path_format", None)
    if own is None:
        return NO_ROUTE
    # A route knows its template only from where its router begins.
    path, filled = scope["path"], own.format(**scope["path_params"])
    return f"{path.removesuffix(filled)}{own}" if path.endswith(filled) else str(own)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _SANE_ID.fullmatch(given) else new_id(Kind.REQUEST)
