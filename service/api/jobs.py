"""Submit, list, read, change and delete jobs."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Response

from service.access import Caller, actor_of
from service.api.answers import conflict
from service.api.dependencies import JobId, Part, ServicesOf, StoreOf, share_of
from service.api.files import delete_files
from service.api.noting import noted
from service.estimates import Shape, plan_of
from service.store import audit, datasets, families, job_lists, jobs, removal, submissions
from service.store.job_lists import JobFilter
from service.store.pace import seconds_per_epoch
from shrinknets.wire import (
    IDEMPOTENCY_HEADER,
    DatasetName,
    Job,
    JobPatch,
    JobSort,
    JobState,
    JobSubmission,
    Method,
    Page,
    Plan,
    Text,
)

LABEL = r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(:[^\x00]{0,200})?$"

router = APIRouter(prefix="/jobs", tags=["jobs"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias=IDEMPOTENCY_HEADER,
        pattern=r"^[!-~]{1,255}$",
        description="Any text of your own, such as a UUID. Remembered for a day, for each owner of "
        "API keys apart.",
    ),
]


async def _filter(
    *,
    state: Annotated[list[JobState], Query(description="In any of these states.")] = [],  # noqa: B006 (FastAPI copies it)
    dataset: Annotated[DatasetName | None, Query(description="On this data set.")] = None,
    method: Annotated[Method | None, Query(description="That run this method.")] = None,
    label: Annotated[
        list[Annotated[str, Query(pattern=LABEL)]],
        Query(max_length=8, description="With this label, `key:value` or `key`; all of several."),
    ] = [],  # noqa: B006
    owner: Annotated[
        Text, Query(max_length=200, description="Submitted with a key of this owner.")
    ] = "",
    text: Annotated[Text, Query(max_length=200, description="Part of the name.")] = "",
) -> JobFilter:
    return JobFilter(
        states=tuple(state),
        dataset=dataset,
        method=method,
        labels=tuple(label),
        owner=owner,
        text=text,
    )


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Submit a job",
    response_model=Job,
    responses={
        200: {
            "model": Job | Plan,
            "description": "The job that this Idempotency-Key made before, as it stands now; "
            "or with `dry_run` what the job would be.",
        },
        **conflict("The Idempotency-Key was used for another submission."),
    },
)
def submit(
    submission: JobSubmission,
    services: ServicesOf,
    caller: Caller,
    response: Response,
    *,
    key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="Only check; nothing is stored.")] = False,
) -> Job | Response:
    """Queue a job; workers claim the highest priority first, and of equal ones the oldest.

    Sent again with the same Idempotency-Key and the same body, field by field after filling in
    defaults, it gives the same job with 200.
    """
    if dry_run:
        with services.store.reading() as tx:
            data = datasets.require_dataset(tx, submission.dataset)
            jobs.require_earlier_jobs(tx, submission.warm_start)
            asked = families.settle(tx, submission)
            pace = seconds_per_epoch(tx, asked.dataset, asked.network.family)
        plan = plan_of(
            submission.model_copy(update={"network": asked.network}),
            Shape.of(data.input_shape, data.num_classes),
            pace,
        )
        return Response(plan.model_dump_json(), media_type="application/json")
    share, owner = share_of(caller, services.settings), caller.keeps_as
    with services.store.writing() as tx:
        job, is_new = submissions.submit_job(tx, submission, key=key, owner=owner, share=share)
        if is_new:
            audit.note(tx, actor_of(caller), "job.submit", job.id)
    if not is_new:
        response.status_code = HTTPStatus.OK
    return job


@router.get("", summary="List jobs")
def list_jobs(
    part: Part,
    which: Annotated[JobFilter, Depends(_filter)],
    store: StoreOf,
    sort: Annotated[JobSort, Query(description="A `-` turns it round.")] = JobSort.CREATED_DESC,
) -> Page[Job]:
    """Jobs that meet all filters, by default the newest first."""
    with store.reading() as tx:
        return job_lists.list_jobs(tx, part, which=which, sort=sort)


@router.get("/{job_id}", summary="Read a job")
def read_job(job_id: JobId, store: StoreOf) -> Job:
    """A job with its progress."""
    with store.reading() as tx:
        return jobs.get_job(tx, job_id)


@router.patch("/{job_id}", summary="Change a job's name, labels or priority")
def change(job_id: JobId, patch: JobPatch, store: StoreOf, caller: Caller) -> Job:
    """Change what is named and leave the rest; a new priority counts from the next claim on."""
    with noted(store, caller, "job.change", job_id) as tx:
        return jobs.change_job(tx, job_id, patch)


@router.delete(
    "/{job_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Delete a job",
    responses=conflict("The job is running."),
)
def delete(job_id: JobId, services: ServicesOf, caller: Caller) -> None:
    """Delete a job with its trials, epochs, networks, events, and files that no other job has."""
    with noted(services.store, caller, "job.delete", job_id) as tx:
        files = removal.delete_job(tx, job_id)
    delete_files(services, files)
