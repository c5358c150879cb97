"""The pages: the list of jobs, a job, and the list of data sets."""

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from service.access import Caller, Permission, identity_of
from service.api.dependencies import JobId, Part, StoreOf, TrialId
from service.api.files import MEDIA_TYPE
from service.dashboard.figures import SHRINKING
from service.dashboard.login import redirect_to_login
from service.dashboard.results import networks_of
from service.dashboard.templating import render
from service.errors import NotFoundError, UnauthorizedError
from service.store import (
    Slice,
    choices,
    datasets,
    events,
    exports,
    families,
    job_lists,
    jobs,
    trial_lists,
    trial_logs,
    trials,
)
from service.store.datasets import DatasetFilter
from shrinknets.frontier import frontier
from shrinknets.wire import DatasetSort

MAX_TRIALS = 1000
"""More rows than this no one reads, and browsers slow down."""
MAX_LINES = 1000
"""The same of a log."""


class PageRoute(APIRoute):
    """Answers with a page, not with a problem, where there is nothing or a login is needed."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_explain(request: Request) -> Response:
            try:
                return await handle(request)
            except UnauthorizedError:
                return redirect_to_login(request)
            except (NotFoundError, RequestValidationError):
                caller = identity_of(request)
                return render("missing.html", status=HTTPStatus.NOT_FOUND, caller=caller)

        return handle_or_explain


router = APIRouter(route_class=PageRoute, default_response_class=HTMLResponse)


@router.get("/")
def list_jobs(request: Request, part: Part, store: StoreOf, caller: Caller) -> HTMLResponse:
    """All jobs, newest first, or how to submit the first one."""
    with store.reading() as tx:
        # The newest event is read in the same transaction: the stream goes on from exactly here.
        return render(
            "jobs.html",
            caller=caller,
            page=job_lists.list_jobs(tx, part),
            is_first_page=part.cursor is None,
            latest_event=events.latest_event_id(tx),
            url=str(request.base_url).rstrip("/"),
        )


@router.get("/jobs")
def redirect_to_list() -> RedirectResponse:
    """Lead who shortens a job's address to the list."""
    return RedirectResponse("/")


@router.get("/datasets")
def list_datasets(part: Part, store: StoreOf, caller: Caller) -> HTMLResponse:
    """What jobs can train on, newest first."""
    with store.reading() as tx:
        page = datasets.list_datasets(
            tx, part, which=DatasetFilter(), sort=DatasetSort.CREATED_DESC
        )
    is_first_page = part.cursor is None
    return render("datasets.html", caller=caller, page=page, is_first_page=is_first_page)


@router.get("/jobs/{job_id}")
def show_job(job_id: JobId, store: StoreOf, caller: Caller) -> HTMLResponse:
    """A job with its trials, its frontier and its figures."""
    with store.reading() as tx:
        job = jobs.get_job(tx, job_id)
        return render(
            "job.html",
            caller=caller,
            job=job,
            may_submit=caller.may(Permission.SUBMIT),
            is_shrinking=any(method in SHRINKING for method in job.spec.methods.chosen()),
            trials=trial_lists.list_trials(tx, job_id, Slice(limit=MAX_TRIALS)),
            chosen=choices.find_choice(tx, job_id),
            frontier=frontier(networks_of(tx, job_id)),
            width_names=families.width_names(tx, job.spec),
            latest_event=events.latest_event_id(tx),
        )


@router.get("/jobs/{job_id}/trials/{trial_id}")
def show_trial(job_id: JobId, trial_id: TrialId, store: StoreOf, caller: Caller) -> HTMLResponse:
    """A trial with its log and its files."""
    with store.reading() as tx:
        trial = trials.get_trial(tx, trial_id)
        if trial.job_id != job_id:
            raise NotFoundError("trial", trial_id)
        return render(
            "trial.html",
            caller=caller,
            job=jobs.get_job(tx, job_id),
            trial=trial,
            log=trial_logs.read_log(tx, trial_id, tail=MAX_LINES),
            max_lines=MAX_LINES,
            artifacts=exports.list_artifacts(tx, trial_id, content_type=MEDIA_TYPE),
            latest_event=events.latest_event_id(tx),
        )
