"""The HTTP API: thin endpoints over the store, one transaction per request."""

from typing import Any

from fastapi import APIRouter

from service.api import (
    attempts,
    claims,
    events,
    health,
    jobs,
    networks,
    system,
    trials,
    uploads,
)
from shrinknets.wire import Problem

Responses = dict[int | str, dict[str, Any]]

_PROBLEMS: Responses = {
    404: {"model": Problem, "description": "There is nothing with this id."},
    422: {"model": Problem, "description": "The input is wrong; `errors` names each field."},
    503: {"model": Problem, "description": "The database does not answer at the moment."},
}
_LEASE_LOST: Responses = {
    409: {"model": Problem, "description": "The token does not hold the lease."}
}

public = APIRouter(prefix="/api/v1", responses=_PROBLEMS)
for part in (jobs, trials, networks, events, system):
    public.include_router(part.router)

worker = APIRouter(prefix="/api/v1/worker", responses=_PROBLEMS | _LEASE_LOST)
for part in (claims, attempts, uploads):
    worker.include_router(part.router)

router = APIRouter()
router.include_router(health.router)
router.include_router(public)
router.include_router(worker)

__all__ = ["router"]
