"""Streams of events (server-sent), replayed from where a reader stopped."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from service.access import Caller
from service.api.dependencies import MAX_KEY, JobId, ServicesOf
from service.store import jobs
from service.streams import MEDIA_TYPE, EventStream
from shrinknets.wire import Problem

_EXAMPLE = (
    ': ping\n\ndata: {"id":42,"job_id":"job-7h2k9mwq4x","trial_id":null,"kind":"job",'
    '"at":"2026-11-22T10:00:00Z"}\nid: 42\n\n'
)
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EXAMPLE}},
        "description": "Events: `id` is the event's id, `data` the event as JSON. The last one is "
        "named `end`; its data say why: `deleted` (the job is gone), or `slow`, `key`, `shutdown` "
        "(connect again with Last-Event-ID and nothing is missed).",
    },
    503: {
        "model": Problem,
        "description": "Too many streams are open, or the database does not answer.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
    },
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
    return EventStream(services, caller, start, job_id=None)


@router.get("/jobs/{job_id}/events", summary="Follow a job", responses=_STREAM)
async def follow_job(
    job_id: ExistingJob, start: Start, services: ServicesOf, caller: Caller
) -> StreamingResponse:
    """Every event of a job after the given one, then those that happen, until it is deleted."""
    return EventStream(services, caller, start, job_id=job_id)
