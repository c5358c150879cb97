"""Submit, list, read and cancel jobs."""

from http import HTTPStatus

from fastapi import APIRouter

from service.access import Caller, actor_of
from service.api.dependencies import JobId, Part, StoreOf
from service.store import audit, jobs, networks, trials
from shrinknets.wire import Job, JobSpec, Network, Page, Problem, Trial

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("", status_code=HTTPStatus.CREATED, summary="Submit a job")
def submit(spec: JobSpec, store: StoreOf, caller: Caller) -> Job:
    """Put a job at the end of the queue; a worker will claim it."""
    with store.writing() as tx:
        job = jobs.create_job(tx, spec)
        audit.note(tx, actor_of(caller), "job.submit", job.id)
        return job


@router.get("", summary="List jobs")
def list_jobs(part: Part, store: StoreOf) -> Page[Job]:
    """All jobs, newest first."""
    with store.reading() as tx:
        return jobs.list_jobs(tx, part)


@router.get("/{job_id}", summary="Read a job")
def read_job(job_id: JobId, store: StoreOf) -> Job:
    """A job with its progress."""
    with store.reading() as tx:
        return jobs.get_job(tx, job_id)


@router.post(
    "/{job_id}/cancel",
    status_code=HTTPStatus.ACCEPTED,
    summary="Cancel a job",
    responses={409: {"model": Problem, "description": "The job has ended otherwise."}},
)
def cancel(job_id: JobId, store: StoreOf, caller: Caller) -> Job:
    """Cancel at once what nobody works on, ask the worker of a running job to stop.

    Cancelling a cancelled job changes nothing.
    """
    with store.writing() as tx:
        job = jobs.cancel_job(tx, job_id)
        audit.note(tx, actor_of(caller), "job.cancel", job.id)
        return job


@router.get("/{job_id}/trials", summary="List a job's trials")
def list_trials(job_id: JobId, part: Part, store: StoreOf) -> Page[Trial]:
    """A job's trials in the order of their creation."""
    with store.reading() as tx:
        return trials.list_trials(tx, job_id, part)


@router.get("/{job_id}/networks", summary="List a job's networks")
def list_networks(job_id: JobId, part: Part, store: StoreOf) -> Page[Network]:
    """All networks that a job's trials found, in the order of finding."""
    with store.reading() as tx:
        return networks.list_networks_of_job(tx, job_id, part)
