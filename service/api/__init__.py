"""The HTTP API: thin endpoints over the store, one transaction per request."""

from typing import Any

from fastapi import APIRouter, Depends

from service.access import AttemptGuard, Guard, Permission
from service.api import (
    attempts,
    audit,
    checkpoints,
    choices,
    claims,
    comparisons,
    dataset_uploads,
    datasets,
    downloads,
    events,
    health,
    jobs,
    metrics,
    networks,
    outputs,
    results,
    steering,
    system,
    trials,
    uploads,
)
from shrinknets.wire import Problem

Responses = dict[int | str, dict[str, Any]]

_REFUSED: Responses = {
    401: {
        "model": Problem,
        "description": "No valid API key was shown.",
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    },
    403: {"model": Problem, "description": "The role of the key does not allow this."},
    429: {
        "model": Problem,
        "description": "Too many wrong keys came from this address, too many requests from you, or "
        "the key has too many queued jobs.",
        "headers": {"Retry-After": {"schema": {"type": "integer"}}},
    },
}
_PROBLEMS: Responses = {
    **_REFUSED,
    404: {"model": Problem, "description": "There is nothing with this id."},
    422: {"model": Problem, "description": "The input is wrong; `errors` names each field."},
    503: {"model": Problem, "description": "The database does not answer at the moment."},
}
_LEASE_LOST: Responses = {
    409: {"model": Problem, "description": "The token does not hold the lease."}
}

public = APIRouter(
    prefix="/api/v1",
    responses=_PROBLEMS,
    dependencies=[Depends(Guard(reading=Permission.READ, writing=Permission.SUBMIT))],
)
# Comparisons come first: "compare" is no job's id.
for part in (
    *(comparisons, jobs, steering, results, choices, trials, outputs, networks, downloads),
    *(datasets, dataset_uploads, events, system),
):
    public.include_router(part.router)

counted = APIRouter(
    responses=_PROBLEMS,
    dependencies=[Depends(Guard(reading=Permission.READ, writing=Permission.READ))],
)
counted.include_router(metrics.router)

admin = APIRouter(
    prefix="/api/v1",
    responses=_PROBLEMS,
    dependencies=[Depends(Guard(reading=Permission.ADMINISTER, writing=Permission.ADMINISTER))],
)
admin.include_router(audit.router)

worker = APIRouter(
    prefix="/api/v1/worker",
    responses=_PROBLEMS | _LEASE_LOST,
    dependencies=[Depends(Guard(reading=Permission.WORK, writing=Permission.WORK))],
)
worker.include_router(claims.router)
worker.include_router(choices.worker_router)

trial = APIRouter(
    prefix="/api/v1/worker",
    responses=_PROBLEMS | _LEASE_LOST,
    dependencies=[Depends(AttemptGuard(reading=Permission.WORK, writing=Permission.WORK))],
)
for part in (attempts, checkpoints, uploads):
    trial.include_router(part.router)
trial.include_router(choices.trial_router)

router = APIRouter()
router.include_router(health.router)
for guarded in (counted, public, admin, worker, trial):
    router.include_router(guarded)

__all__ = ["router"]
