"""Trials' processes ask what to do, report epochs and end; their token alone lets them in."""

from fastapi import APIRouter
from fastapi.responses import Response, StreamingResponse

from service.api.dependencies import AttemptId, ServicesOf, StoreOf, Token
from service.api.files import Asked, file_answers, send_file
from service.store import attempts, trial_logs
from shrinknets.redaction import redact
from shrinknets.wire import (
    AttemptEnd,
    LogBatch,
    LogPlace,
    RecordBatch,
    Renewal,
    Trial,
    TrialAssignment,
)

router = APIRouter(tags=["worker"])


@router.get("/attempts/{attempt_id}", summary="Read what to do")
def read(attempt_id: AttemptId, token: Token, services: ServicesOf) -> TrialAssignment:
    """All that a trial's process must know; renews the attempt's lease."""
    seconds = services.settings.attempt_lease_seconds
    with services.store.writing() as tx:
        return attempts.read_assignment(tx, attempt_id, token, lease_seconds=seconds)


@router.post("/attempts/{attempt_id}/records", summary="Report epochs")
def report(
    attempt_id: AttemptId, batch: RecordBatch, token: Token, services: ServicesOf
) -> Renewal:
    """Take records in and renew the lease; a record with a known step replaces it."""
    seconds = services.settings.attempt_lease_seconds
    with services.store.writing() as tx:
        held = attempts.report(tx, attempt_id, token, batch.records, lease_seconds=seconds)
        return Renewal(order=held.order)


@router.post("/attempts/{attempt_id}/logs", summary="Hand lines of the log in")
def add_lines(
    attempt_id: AttemptId, batch: LogBatch, token: Token, services: ServicesOf
) -> LogPlace:
    """Take in what the attempt's process wrote, until 10 minutes after its end.

    It does not renew the lease: whoever reads a process's output need not be that process. Keys
    and tokens are blotted out. Sent again it changes nothing.
    """
    clean = batch.model_copy(update={"text": redact(batch.text, secrets=[token])})
    max_bytes = services.settings.log_bytes
    with services.store.writing() as tx:
        place = trial_logs.add_lines(tx, attempt_id, token, clean, max_bytes=max_bytes)
    return LogPlace(next=place)


@router.post("/attempts/{attempt_id}/end", summary="End an attempt")
def end(attempt_id: AttemptId, end: AttemptEnd, token: Token, store: StoreOf) -> Trial:
    """End an attempt and its trial, all or nothing. Repeating it is harmless."""
    with store.writing() as tx:
        return attempts.end_attempt(tx, attempt_id, token, end)


@router.get(
    "/attempts/{attempt_id}/dataset",
    summary="Fetch the data set",
    response_class=StreamingResponse,
    responses=file_answers("The file that the assignment names."),
)
def fetch_dataset(
    attempt_id: AttemptId, token: Token, services: ServicesOf, asked: Asked
) -> Response:
    """The file of the data set that the attempt trains on, where it is not one of every worker."""
    with services.store.reading() as tx:
        file = attempts.get_dataset_file(tx, attempt_id, token)
    return send_file(services, asked, file.sha256, f"{file.sha256}.npz")
