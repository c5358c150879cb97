"""Workers claim jobs, renew their lease, announce and start trials, and give jobs back."""

from http import HTTPStatus

from fastapi import APIRouter, Request, Response

from service.access import Caller
from service.api.dependencies import JobId, ServicesOf, StoreOf, Token, TrialId
from service.errors import UnavailableError
from service.store import attempts, leases, progress, trials
from service.waiting import Waiting
from shrinknets import logs
from shrinknets.wire import (
    Attempt,
    Claim,
    ClaimRequest,
    EpochsRequest,
    Job,
    JobEnd,
    NewEpochs,
    Pruning,
    Renewal,
    Spent,
    Trial,
    TrialRequest,
)

router = APIRouter(tags=["worker"])


@router.post(
    "/claim",
    summary="Claim a job",
    response_model=Claim,
    responses={204: {"description": "Nothing was queued in time."}},
)
async def claim(
    asked: ClaimRequest, request: Request, services: ServicesOf, caller: Caller
) -> Claim | Response:
    """Take the oldest job of the highest priority that the worker can run, or wait for one.

    Its lease must be renewed until the job is released.
    """
    if services.is_stopping:
        raise UnavailableError("The service is shutting down; ask again when it is back.")
    waiting = Waiting(services, caller, is_gone=request.is_disconnected)
    claimed = await waiting.claim(asked)
    if claimed is None:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    logs.note(job_id=claimed.job.id)
    return claimed


@router.post("/jobs/{job_id}/renew", summary="Renew a job's lease")
def renew(job_id: JobId, token: Token, services: ServicesOf) -> Renewal:
    """Prolong the lease, and hear whether to go on."""
    seconds = services.settings.job_lease_seconds
    with services.store.writing() as tx:
        return Renewal(order=leases.renew_job(tx, job_id, token, lease_seconds=seconds))


@router.post("/jobs/{job_id}/release", summary="Give a job back")
def release(job_id: JobId, end: JobEnd, token: Token, store: StoreOf) -> Job:
    """End the job, or put it back into the queue. Repeating it is harmless."""
    with store.writing() as tx:
        return leases.release_job(tx, job_id, token, end)


@router.post(
    "/jobs/{job_id}/trials",
    status_code=HTTPStatus.CREATED,
    summary="Announce a trial",
    responses={200: {"model": Trial, "description": "The trial was announced before."}},
)
def announce(
    job_id: JobId, request: TrialRequest, token: Token, store: StoreOf, response: Response
) -> Trial:
    """Create a trial that waits for an attempt; the same number again gives the same trial."""
    with store.writing() as tx:
        trial, is_new = trials.create_trial(tx, job_id, token, request)
        if not is_new:
            response.status_code = HTTPStatus.OK
        return trial


@router.post(
    "/trials/{trial_id}/attempts", status_code=HTTPStatus.CREATED, summary="Start an attempt"
)
def start_attempt(trial_id: TrialId, token: Token, services: ServicesOf) -> Attempt:
    """Let a waiting trial go on from its newest checkpoint, or begin; asks for the job's token."""
    seconds = services.settings.attempt_lease_seconds
    with services.store.writing() as tx:
        return attempts.start_attempt(tx, trial_id, token, lease_seconds=seconds)


@router.post("/trials/{trial_id}/prune", summary="End a trial early")
def prune(trial_id: TrialId, pruning: Pruning, token: Token, store: StoreOf) -> Trial:
    """Ask a running trial to end after its epoch; asks for the token of the job's lease.

    The trial hears of it with its next post. One that does not run is left as it is.
    """
    with store.writing() as tx:
        return progress.prune_trial(tx, trial_id, token, reason=pruning.reason)


@router.post("/jobs/{job_id}/epochs", summary="Read new epochs of trials")
def read_epochs(job_id: JobId, asked: EpochsRequest, token: Token, store: StoreOf) -> NewEpochs:
    """What these trials of the job reported after the steps that are known, all in one answer."""
    with store.reading() as tx:
        return NewEpochs(trials=progress.read_epochs(tx, job_id, token, asked.after))


@router.get("/jobs/{job_id}/spent", summary="Read what a job has spent")
def read_spent(job_id: JobId, token: Token, store: StoreOf) -> Spent:
    """Seconds and training so far, by the service's tables: they outlive workers."""
    with store.reading() as tx:
        return progress.read_spent(tx, job_id, token)
