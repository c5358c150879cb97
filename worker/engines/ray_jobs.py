"""The Jobs API of a Ray cluster over HTTP, as far as the engine needs it."""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from worker.errors import RayNotAllowedError, RayRefusedError, RayUnreachableError
from worker.trial.environment import RAY_TOKEN_KEY

ENGINE_KEY = "shrinknets_engine"
"""In the metadata of a job: which engine submitted it."""
SERVICE_KEY = "shrinknets_service"
"""In the metadata of a job: the address at which its trial reaches the service."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_MAX_DETAIL = 300
_NOT_ALLOWED = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


class RayStatus(StrEnum):
    """Where a job of Ray stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    STOPPED = "STOPPED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"

    @property
    def is_final(self) -> bool:
        return self not in {RayStatus.PENDING, RayStatus.RUNNING}


@dataclass(frozen=True, kw_only=True)
class RayJob:
    """A job as the cluster lists it."""

    id: str
    status: RayStatus
    engine: str
    """The engine that submitted it."""
    service: str
    token: str
    """Of its attempt."""
    node_id: str | None
    """Where it runs or ran; None while it waits."""
    exit_code: int | None
    """Of the command, negative for a signal; None where nobody saw it end."""
    error_type: str | None
    message: str


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What a job is to run, and what it is to be given."""

    id: str
    entrypoint: str
    variables: Mapping[str, str]
    metadata: Mapping[str, str]
    cpus: float
    gpus: float
    resources: Mapping[str, float]


class _Listed(BaseModel):
    submission_id: str | None = None
    status: RayStatus
    metadata: dict[str, str] | None = None
    driver_node_id: str | None = None
    driver_exit_code: int | None = None
    error_type: str | None = None
    message: str | None = None


_LIST = TypeAdapter(list[_Listed])


class RayJobs:
    """One keep-alive connection to the head; it belongs to one thread at a time.

    Every call raises RayUnreachableError, RayNotAllowedError on 401 and 403, and RayRefusedError on
    any other refusal.
    """

    def __init__(self, address: str, *, token: str | None, ca_file: Path | None = None) -> None:
        """`ca_file` holds the certificates to trust in place of the usual ones."""
        self.address = address
        verify: ssl.SSLContext | bool = address.startswith("https://")
        if verify and ca_file is not None:
            verify = ssl.create_default_context(cafile=ca_file)
        self._http = httpx.Client(
            base_url=address,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            verify=verify,
            timeout=_TIMEOUT,
        )

    def close(self) -> None:
        self._http.close()

    def list(self) -> dict[str, RayJob]:
        """All jobs that an engine of ours submitted, of whichever worker, by their id."""
        answer = self._request("GET", "/api/jobs/")
        try:
            listed = _LIST.validate_json(answer.content)
        except ValidationError as error:
            cause = f"no list of jobs came: {error.errors()[0]['msg']}"
            raise RayUnreachableError(address=self.address, cause=cause) from error
        return {
            job.submission_id: _to_job(job.submission_id, job, job.metadata)
            for job in listed
            if job.submission_id and job.metadata and ENGINE_KEY in job.metadata
        }

    def submit(self, submission: Submission) -> None:
        """Hand a job in; where the answer got lost, only the list tells whether it is there."""
        body = {
            "submission_id": submission.id,
            "entrypoint": submission.entrypoint,
            "runtime_env": {"env_vars": dict(submission.variables)},
            "metadata": dict(submission.metadata),
            "entrypoint_num_cpus": submission.cpus,
            "entrypoint_num_gpus": submission.gpus,
            "entrypoint_resources": dict(submission.resources) or None,
        }
        self._request("POST", "/api/jobs/", body)

    def stop(self, job_id: str) -> None:
        """SIGTERM to the command and its children, and SIGKILL soon after, without waiting.

        A job that still waits for resources is stopped only once it has got them.
        """
        self._request("POST", f"/api/jobs/{job_id}/stop", missing_is_fine=True)

    def delete(self, job_id: str) -> None:
        """Have the cluster forget a job that ended, its token included."""
        self._request("DELETE", f"/api/jobs/{job_id}", missing_is_fine=True)

    def read_log(self, job_id: str, node_id: str) -> Iterator[bytes]:
        """What the command wrote so far, from its beginning, in chunks."""
        # This one reads bytes: the Jobs API's own fails on a log that is not UTF-8.
        query = {"submission_id": job_id, "node_id": node_id, "lines": "-1"}
        try:
            with self._http.stream("GET", "/api/v0/logs/file", params=query) as answer:
                if not answer.is_success:
                    answer.read()
                self._check(answer, f"the log of {job_id}")
                yield from answer.iter_bytes()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _request(
        self, method: str, path: str, body: Any = None, *, missing_is_fine: bool = False
    ) -> httpx.Response:
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        if not (missing_is_fine and answer.status_code == httpx.codes.NOT_FOUND):
            self._check(answer, f"{method} {path}")
        return answer

    def _check(self, answer: httpx.Response, request: str) -> None:
        if answer.is_success:
            return
        # What Ray answers may be a whole traceback; its last line says what is wrong.
        detail = (answer.text.strip().splitlines() or [answer.reason_phrase])[-1][:_MAX_DETAIL]
        if answer.status_code in _NOT_ALLOWED:
            raise RayNotAllowedError(address=self.address, detail=detail)
        if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            cause = f"{request} gave status {answer.status_code}, {detail}"
            raise RayUnreachableError(address=self.address, cause=cause)
        raise RayRefusedError(request=request, status=answer.status_code, detail=detail)

    def _unreachable(self, error: httpx.TransportError) -> RayUnreachableError:
        return RayUnreachableError(
            address=self.address,
            cause=str(error) or type(error).__name__,
            may_have_worked=not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
        )


def _to_job(job_id: str, listed: _Listed, metadata: Mapping[str, str]) -> RayJob:
    return RayJob(
        id=job_id,
        status=listed.status,
        engine=metadata[ENGINE_KEY],
        service=metadata.get(SERVICE_KEY, ""),
        token=metadata.get(RAY_TOKEN_KEY, ""),
        node_id=listed.driver_node_id,
        exit_code=listed.driver_exit_code,
        error_type=listed.error_type,
        message=listed.message or "",
    )
