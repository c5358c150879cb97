"""Users hand data sets in."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from service.access import Caller, actor_of
from service.api.answers import conflict
from service.api.dependencies import ServicesOf, share_of
from service.artifacts import Spool
from service.errors import ServiceError, UnsupportedMediaError
from service.garbage import delete_stray
from service.npz import BEGINNING, inspect
from service.services import Services
from service.store import audit, dataset_changes, datasets, quotas
from service.store.audit import Actor
from service.store.dataset_changes import NewDataset
from service.store.quotas import Share
from shrinknets.wire import DATASET_PATTERN, Dataset, DatasetDetails, Problem

MEDIA_TYPES = ("application/octet-stream", "application/zip", "application/x-npz")
_FILE = {
    "schema": {"type": "string", "contentMediaType": MEDIA_TYPES[0]},
    "example": "the bytes of a .npz file with the arrays x and y",
}

router = APIRouter(prefix="/datasets", tags=["datasets"])

NewName = Annotated[
    str,
    Query(
        pattern=DATASET_PATTERN,
        description="Under which jobs will name it: letters, digits, `.`, `_` and `-`.",
        examples=["sensor-7"],
    ),
]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Upload a data set",
    responses={
        200: {"model": Dataset, "description": "It was there already, with the same content."},
        408: {"model": Problem, "description": "The body came too slowly."},
        413: {"model": Problem, "description": "It is too large, or the key has too many bytes."},
        415: {"model": Problem, "description": "The body is no .npz file."},
        **conflict("The name stands for a data set of other content."),
    },
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPES[0]: _FILE}}},
)
async def upload(
    name: NewName,
    request: Request,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    *,
    content_length: Annotated[int, Header(ge=0, include_in_schema=False)] = 0,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> DatasetDetails:
    """Store a `.npz` file with the arrays `x` and `y`, and `x_test` and `y_test` if it has them.

    `x` is float or uint8, finite, of shape (n, inputs) or (n, channels, height, width); `y` holds
    the classes 0 to K − 1, each at least 8 times. The media types application/zip and
    application/x-npz are taken, too. Sent again it changes nothing.
    """
    _require_npz_type(content_type)
    actor, share = actor_of(caller), share_of(caller, services.settings)
    await run_in_threadpool(_check_early, services, name, share, content_length)
    spool = await run_in_threadpool(services.artifacts.spool)
    try:
        await _receive(request, spool)
        async with services.inspections:
            new = await run_in_threadpool(_inspect, services, name, spool)
        found, is_new = await run_in_threadpool(_keep, services, new, spool, actor, share)
    finally:
        await run_in_threadpool(spool.close)
    if not is_new:
        response.status_code = HTTPStatus.OK
    return found


def _require_npz_type(content_type: str) -> None:
    if content_type.partition(";")[0].strip().lower() not in MEDIA_TYPES:
        raise UnsupportedMediaError(
            f"Content-Type: got {content_type[:100]!r}, allowed is {' or '.join(MEDIA_TYPES)}: "
            "send a .npz file, as numpy.savez(path, x=…, y=…) writes it."
        )


def _check_early(services: Services, name: str, share: Share, size_bytes: int) -> None:
    """Refuse what cannot be taken before its bytes are sent, unless they may be there already."""
    with services.store.reading() as tx:
        if not dataset_changes.is_taken(tx, name):
            quotas.check_dataset_room(tx, share, size_bytes)


async def _receive(request: Request, spool: Spool) -> None:
    start = b""
    async for chunk in request.stream():
        if len(start) < len(BEGINNING):
            start = (start + chunk)[: len(BEGINNING)]
            _require_archive(start, BEGINNING[: len(start)])
        await run_in_threadpool(spool.write, chunk)
    _require_archive(start, BEGINNING)


def _require_archive(start: bytes, wanted: bytes) -> None:
    if start != wanted:
        raise UnsupportedMediaError(
            f"The body begins with {start!r} and is no .npz file: send one, as numpy.savez(path, "
            "x=…, y=…) writes it."
        )


def _inspect(services: Services, name: str, spool: Spool) -> NewDataset:
    limit = services.settings.max_dataset_unpacked_bytes
    contents = inspect(spool.file, spool.size, max_unpacked_bytes=limit)
    return NewDataset(name=name, sha256=spool.sha256, size_bytes=spool.size, contents=contents)


def _keep(
    services: Services, new: NewDataset, spool: Spool, actor: Actor, share: Share
) -> tuple[DatasetDetails, bool]:
    """Store the file, then what names it."""
    with services.store.reading() as tx:
        if dataset_changes.is_there(tx, new.name, new.sha256):
            return datasets.get_dataset(tx, new.name), False
        quotas.check_dataset_room(tx, share, new.size_bytes)
    if not services.artifacts.has(new.sha256):
        services.artifacts.put(new.sha256, spool)
    try:
        with services.store.writing() as tx:
            is_new = dataset_changes.add_dataset(tx, new, actor=actor, share=share)
            if is_new:
                audit.note(tx, actor, "dataset.upload", new.name)
            # Whoever collects files took this one while it was not noted; from here on nobody can.
            if not services.artifacts.has(new.sha256):
                services.artifacts.put(new.sha256, spool)
            return datasets.get_dataset(tx, new.name), is_new
    except ServiceError:
        delete_stray(services.store, services.artifacts, new.sha256)
        raise
