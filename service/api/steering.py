"""Cancel, pause, resume, try again and clone jobs."""

from http import HTTPStatus

from fastapi import APIRouter

from service.access import Caller, actor_of
from service.api.answers import conflict
from service.api.dependencies import JobId, ServicesOf, StoreOf, share_of
from service.api.noting import noted
from service.store import audit, controls, jobs
from shrinknets.wire import CloneChanges, Job

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])


@router.post(
    "/cancel",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel a job",
    responses=conflict("The job has ended otherwise."),
)
def cancel(job_id: JobId, store: StoreOf, caller: Caller) -> Job:
    """Cancel at once what nobody works on, ask the worker of a running job to stop.

    Cancelling a cancelled job changes nothing.
    """
    with noted(store, caller, "job.cancel", job_id) as tx:
        return jobs.cancel_job(tx, job_id)


@router.post(
    "/pause",
    status_code=HTTPStatus.ACCEPTED,
    summary="Pause a job",
    responses=conflict("The job has ended, or is being cancelled."),
)
def pause(job_id: JobId, store: StoreOf, caller: Caller) -> Job:
    """Pause at once what nobody works on, ask the worker of a running job to let go of it.

    Trials that run save where they are, and go on from there when the job does. Pausing a paused
    job changes nothing.
    """
    with noted(store, caller, "job.pause", job_id) as tx:
        return controls.pause_job(tx, job_id)


@router.post("/resume", summary="Resume a job", responses=conflict("The job has ended."))
def resume(job_id: JobId, store: StoreOf, caller: Caller) -> Job:
    """Put a paused job back into the queue; one that is queued or running is left as it is."""
    with noted(store, caller, "job.resume", job_id) as tx:
        return controls.resume_job(tx, job_id)


@router.post(
    "/retry-failed",
    summary="Try a job's failed trials again",
    responses=conflict("The job has not ended, was cancelled, or no trial of it failed."),
)
def retry_failed(job_id: JobId, store: StoreOf, caller: Caller) -> Job:
    """Queue an ended job again, to run the trials anew that failed or were cut off by its end."""
    with noted(store, caller, "job.retry", job_id) as tx:
        return controls.retry_failed(tx, job_id)


@router.post("/clone", status_code=HTTPStatus.CREATED, summary="Clone a job")
def clone(
    job_id: JobId, services: ServicesOf, caller: Caller, changes: CloneChanges | None = None
) -> Job:
    """Queue a job like this one; each field of the body replaces the original's as a whole."""
    share = share_of(caller, services.settings)
    with services.store.writing() as tx:
        job = controls.clone_job(tx, job_id, changes or CloneChanges(), share=share)
        audit.note(tx, actor_of(caller), "job.clone", job.id)
        return job
