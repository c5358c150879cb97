"""Refuses bodies that are too large, with a problem as for every other error."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import too_large

MAX_BODY_BYTES = 32 * 2**20
"""The largest request, files apart: ten times what the largest batch of records takes."""
MAX_FILE_BYTES = 4 * 2**30
FILES_PREFIX = "/api/v1/worker/artifacts/"


class BodyLimits:
    """ASGI middleware. FastAPI's own limit answers with plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MAX_FILE_BYTES if scope["path"].startswith(FILES_PREFIX) else MAX_BODY_BYTES
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            await too_large()(scope, receive, send)
            return
        await self._app(scope, _counted(receive, limit), send)


def _counted(receive: Receive, limit: int) -> Receive:
    total = 0

    async def receive_within_limit() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            # Raised where the app reads the body, so it is answered as every other error.
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return message

    return receive_within_limit
