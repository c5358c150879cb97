"""What a trial left behind: its log and its files."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from service.api.dependencies import MAX_KEY, ServicesOf, StoreOf, TrialId
from service.api.files import MEDIA_TYPE, Asked, file_answers, send_file
from service.errors import NotFoundError
from service.store import exports, trial_logs
from shrinknets.wire import Artifact, Page, TrialLog

MAX_TAIL = 100_000

router = APIRouter(prefix="/trials/{trial_id}", tags=["trials"])

After = Annotated[
    int, Query(ge=0, le=MAX_KEY, description="`next` of the answer before: what came since.")
]
Tail = Annotated[
    int | None, Query(ge=1, le=MAX_TAIL, description="Of that, so many lines at the end.")
]
FileName = Annotated[str, Path(pattern=r"^net-[0-9a-z]{1,24}\.(safetensors|onnx|pt2)$")]


@router.get("/logs", summary="Read a trial's log")
def read_log(trial_id: TrialId, store: StoreOf, after: After = 0, tail: Tail = None) -> TrialLog:
    """What a trial's processes wrote to standard output and standard error, by attempt."""
    with store.reading() as tx:
        return trial_logs.read_log(tx, trial_id, after=after, tail=tail)


@router.get(
    "/logs.txt",
    summary="Read a trial's log as text",
    response_class=PlainTextResponse,
    responses={
        200: {
            "description": "The log; a line in brackets begins each attempt but the first.",
            "headers": {
                "Log-Next": {
                    "schema": {"type": "integer"},
                    "description": "Given as `after`, it asks for what comes next.",
                }
            },
        }
    },
)
def read_log_as_text(
    trial_id: TrialId, store: StoreOf, after: After = 0, tail: Tail = None
) -> PlainTextResponse:
    """The same as plain text."""
    with store.reading() as tx:
        log = trial_logs.read_log(tx, trial_id, after=after, tail=tail)
    headers = {"Log-Next": str(log.next), "Cache-Control": "private, no-cache"}
    return PlainTextResponse(log.as_text(), headers=headers)


@router.get("/artifacts", summary="List a trial's files")
def list_artifacts(trial_id: TrialId, store: StoreOf) -> Page[Artifact]:
    """The files of a trial's networks, in the order of finding. All of it is on one page."""
    with store.reading() as tx:
        return Page(items=exports.list_artifacts(tx, trial_id, content_type=MEDIA_TYPE))


@router.get(
    "/artifacts/{name}",
    summary="Download a file of a trial",
    response_class=StreamingResponse,
    responses=file_answers("The file."),
)
def download(trial_id: TrialId, name: FileName, services: ServicesOf, asked: Asked) -> Response:
    """A file by the name that the list has for it."""
    with services.store.reading() as tx:
        found = exports.list_artifacts(tx, trial_id, content_type=MEDIA_TYPE)
    for artifact in found:
        if artifact.name == name:
            return send_file(services, asked, artifact.sha256, name)
    raise NotFoundError("file", name)
