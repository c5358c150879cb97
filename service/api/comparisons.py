"""Jobs side by side."""

from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import StoreOf
from service.errors import InvalidInputError
from service.store import comparisons
from shrinknets.wire import Comparison

MAX_JOBS = 20

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/compare", summary="Compare jobs")
def compare(
    ids: Annotated[
        str,
        Query(
            pattern=r"^job-[0-9a-z]{1,24}(,job-[0-9a-z]{1,24})*$",
            max_length=30 * MAX_JOBS,
            description=f"The ids of 1 to {MAX_JOBS} jobs, with commas between them.",
            examples=["job-7h2k9mwq4x,job-0c3v8b1n5r"],
        ),
    ],
    store: StoreOf,
) -> Comparison:
    """Per job and method the spread of test accuracy and size and the compute spent; frontiers.

    Each trial counts with the network that validation chose. A job named twice is shown once.
    """
    job_ids = list(dict.fromkeys(ids.split(",")))
    if len(job_ids) > MAX_JOBS:
        raise InvalidInputError("ids", ids, f"the ids of at most {MAX_JOBS} jobs")
    with store.reading() as tx:
        return comparisons.compare_jobs(tx, job_ids)
