"""Trials hand files in."""

from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from service.api.dependencies import ServicesOf, Sha256, Token
from service.artifacts import Spool
from service.errors import NotFoundError
from service.services import Services
from service.store import leases, networks
from shrinknets.wire import Problem

MEDIA_TYPE = "application/octet-stream"
_BYTES = {
    "schema": {"type": "string", "contentMediaType": MEDIA_TYPE},
    "example": "the bytes of a safetensors file",
}

router = APIRouter(tags=["worker"])


class StoredFile(BaseModel):
    """A file in the artifact store."""

    sha256: str


def _allowed(token: Token, services: ServicesOf) -> None:
    # In a transaction of its own: none stays open while the body arrives.
    with services.store.reading() as tx:
        leases.require_attempt_token(tx, token)


@router.head(
    "/artifacts/{sha256}",
    summary="Is a file there?",
    dependencies=[Depends(_allowed)],
    response_class=Response,
    responses={200: {"description": "It is: there is no need to hand it in."}},
)
def look(sha256: Sha256, services: ServicesOf) -> Response:
    """Whether the file was handed in before; if so, it is kept as if that had been just now."""
    if not _kept(services, sha256):
        raise NotFoundError("file", sha256)
    return Response()


@router.put(
    "/artifacts/{sha256}",
    status_code=HTTPStatus.CREATED,
    summary="Hand a file in",
    dependencies=[Depends(_allowed)],
    responses={
        200: {"model": StoredFile, "description": "The file was there already."},
        413: {"model": Problem, "description": "The file is larger than this service takes."},
        507: {"model": Problem, "description": "There is no room for the file at the moment."},
    },
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: _BYTES}}},
)
async def upload(
    sha256: Sha256, token: Token, request: Request, services: ServicesOf, response: Response
) -> StoredFile:
    """Store the body under its SHA-256, which is verified."""
    spool = Spool()
    try:
        async for chunk in request.stream():
            await run_in_threadpool(spool.write, chunk)
        # Asked again: the lease may have run out while the body came in.
        await run_in_threadpool(_allowed, token, services)
        if not await run_in_threadpool(_store, services, sha256, spool):
            response.status_code = HTTPStatus.OK
    finally:
        spool.close()
    return StoredFile(sha256=sha256)


def _store(services: Services, sha256: str, spool: Spool) -> bool:
    with services.store.reading() as tx:
        is_known = networks.has_file(tx, sha256)
    if is_known and services.artifacts.has(sha256) and _kept(services, sha256):
        return False
    services.artifacts.put(sha256, spool)
    with services.store.writing() as tx:
        networks.note_file(tx, sha256, size_bytes=spool.size)
        # Whoever collects files took this one while it was not noted; from here on nobody can.
        if not services.artifacts.has(sha256):
            services.artifacts.put(sha256, spool)
    return True


def _kept(services: Services, sha256: str) -> bool:
    """Make a known file new again; False where it was collected in this moment."""
    with services.store.writing() as tx:
        return networks.touch_file(tx, sha256) and services.artifacts.has(sha256)
