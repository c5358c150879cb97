"""Streams of events (server-sent), replayed from where a reader stopped."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from service.access import Caller, Identity
from service.api.dependencies import MAX_KEY, JobId, ServicesOf
from service.services import Services
from service.store import events, jobs
from shrinknets.wire import Event

MEDIA_TYPE = "text/event-stream"
KEEPALIVE_SECONDS = 15.0

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
        "description": "Events: `id` is the event's id, `data` the event as JSON.",
    }
}

router = APIRouter(tags=["events"], default_response_class=StreamingResponse)


def _start(
    last_event_id: Annotated[
        int | None,
        Header(
            alias="Last-Event-ID", ge=0, le=MAX_KEY, description="The last event that was seen."
        ),
    ] = None,
    after: Annotated[
        int, Query(ge=0, le=MAX_KEY, description="The same, for the first connection.")
    ] = 0,
) -> int:
    # A browser that connects again repeats the address, but knows better by then.
    return after if last_event_id is None else last_event_id


def _existing_job(job_id: JobId, services: ServicesOf) -> str:
    with services.store.reading() as tx:
        jobs.get_row(tx, job_id)
    return job_id


Start = Annotated[int, Depends(_start)]
ExistingJob = Annotated[str, Depends(_existing_job)]


@router.get("/events", summary="Follow all jobs", responses=_STREAM)
async def follow_all(start: Start, services: ServicesOf, caller: Caller) -> StreamingResponse:
    """Every event after the given one, then those that happen, for as long as one listens."""
    return _respond(services, caller, start, job_id=None)


@router.get("/jobs/{job_id}/events", summary="Follow a job", responses=_STREAM)
async def follow_job(
    job_id: ExistingJob, start: Start, services: ServicesOf, caller: Caller
) -> StreamingResponse:
    """Every event of a job after the given one, then those that happen."""
    return _respond(services, caller, start, job_id=job_id)


def _respond(
    services: Services, caller: Identity, start: int, *, job_id: str | None
) -> StreamingResponse:
    # Not FastAPI's own event streams: they log a traceback for each reader that leaves.
    return StreamingResponse(
        _follow(services, caller, start, job_id=job_id),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _follow(
    services: Services, caller: Identity, start: int, *, job_id: str | None
) -> AsyncIterator[bytes]:
    last = start
    # Said at once, so that a reader knows that it is connected.
    yield KEEPALIVE_COMMENT
    while not services.bell.is_closed:
        # Looked at before reading, so that no ring between reading and waiting is missed.
        rings = services.bell.rings
        news = await asyncio.to_thread(_read, services, last, job_id)
        # Looked at after reading: nothing is told to whose key was revoked meanwhile.
        if not await services.access.is_still(caller):
            return
        for event in news:
            last = event.id
            yield format_sse_event(id=str(event.id), data_str=event.model_dump_json())
        if not news:
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await services.bell.wait_after(rings)
            except TimeoutError:
                yield KEEPALIVE_COMMENT


def _read(services: Services, after: int, job_id: str | None) -> list[Event]:
    with services.store.reading() as tx:
        return events.read_events(tx, after=after, job_id=job_id)
