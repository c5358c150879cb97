"""Trials hand checkpoints in, and whoever takes a trial over goes on from them."""

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import AttemptId, ServicesOf, Sha256, Token
from service.api.files import Asked, file_answers, send_file
from service.store import checkpoints
from shrinknets.wire import NewCheckpoint, Renewal, Resumption

router = APIRouter(prefix="/attempts/{attempt_id}", tags=["worker"])


@router.post("/checkpoints", status_code=HTTPStatus.CREATED, summary="Hand a checkpoint in")
def add(attempt_id: AttemptId, new: NewCheckpoint, token: Token, services: ServicesOf) -> Renewal:
    """Keep an uploaded file as the trial's newest checkpoint, and renew the lease.

    The two newest are kept until the trial ends. Repeating it is harmless.
    """
    seconds = services.settings.attempt_lease_seconds
    with services.store.writing() as tx:
        held = checkpoints.add_checkpoint(tx, attempt_id, token, new, lease_seconds=seconds)
        return Renewal(order=held.order)


@router.post("/resume", summary="Go on from a checkpoint")
def resume(
    attempt_id: AttemptId, resumption: Resumption, token: Token, services: ServicesOf
) -> Renewal:
    """Say from which checkpoint the attempt goes on; what the trial had beyond it is forgotten.

    To be called before the first record wherever the assignment lists checkpoints. Repeating it is
    harmless until then.
    """
    seconds = services.settings.attempt_lease_seconds
    with services.store.writing() as tx:
        held = checkpoints.resume(tx, attempt_id, token, resumption.step, lease_seconds=seconds)
        return Renewal(order=held.order)


@router.get(
    "/files/{sha256}",
    summary="Fetch a file of a checkpoint",
    response_class=StreamingResponse,
    responses=file_answers("A checkpoint of the trial, or weights that are kept with one."),
)
def fetch(
    attempt_id: AttemptId, sha256: Sha256, token: Token, services: ServicesOf, asked: Asked
) -> Response:
    """A checkpoint that the assignment lists, or a file that was handed in with it."""
    with services.store.reading() as tx:
        checkpoints.require_file(tx, attempt_id, token, sha256)
    return send_file(services, asked, sha256, f"{sha256}.safetensors")
