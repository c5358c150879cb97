"""The network that was chosen for a job: to read, to make, and to start from."""

from http import HTTPStatus

from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from service.api.dependencies import AttemptId, JobId, ServicesOf, StoreOf, Token
from service.api.files import Asked, file_answers, send_file
from service.store import choices
from shrinknets.wire import Chosen

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])
worker_router = APIRouter(tags=["worker"])
trial_router = APIRouter(tags=["worker"])


@router.get("/choice", summary="Read a job's chosen network")
def read(job_id: JobId, store: StoreOf) -> Chosen:
    """The network that the job's rule chose, why, and what was trained after that.

    Until the search is over it is the one that would be chosen now, and `made_at` is null. 404
    where there is no network yet. The accuracy on the test rows has no say in it.
    """
    with store.reading() as tx:
        return choices.read_choice(tx, job_id)


@worker_router.post(
    "/jobs/{job_id}/choice",
    summary="Choose a job's network",
    response_model=Chosen,
    responses={204: {"description": "There is no network to choose."}},
)
def make(job_id: JobId, token: Token, store: StoreOf) -> Chosen | Response:
    """Choose among the networks that there are, once the search is over. Repeating is harmless."""
    with store.writing() as tx:
        chosen = choices.make_choice(tx, job_id, token)
    return Response(status_code=HTTPStatus.NO_CONTENT) if chosen is None else chosen


@trial_router.get(
    "/attempts/{attempt_id}/network",
    summary="Fetch the network to start from",
    response_class=StreamingResponse,
    responses=file_answers("The file of the network that the trial's parameters name."),
)
def fetch(attempt_id: AttemptId, token: Token, services: ServicesOf, asked: Asked) -> Response:
    """The network that was chosen for the job, for a trial that trains it on."""
    with services.store.reading() as tx:
        sha256 = choices.get_start_file(tx, attempt_id, token)
    return send_file(services, asked, sha256, f"{sha256}.safetensors")
