"""The worker's side of the HTTP API: typed calls, retried while the service is away."""

import logging
from collections.abc import Iterator
from typing import IO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shrinknets.wire import (
    LEASE_HEADER,
    Claim,
    ClaimRequest,
    Network,
    Page,
    Problem,
    Trial,
)
from worker.errors import (
    LeaseLostError,
    NotAllowedError,
    RefusedError,
    ServiceUnreachableError,
    StorageFullError,
    UnexpectedAnswerError,
)
from worker.patience import Patience

Model = TypeVar("Model", bound=BaseModel)

# Who is told to come back later does so, whatever the reason.
_AWAY = frozenset(map(httpx.codes, (429, 502, 503, 504)))
_REFUSALS: dict[int, type[RefusedError]] = {
    httpx.codes.UNAUTHORIZED: NotAllowedError,
    httpx.codes.FORBIDDEN: NotAllowedError,
    httpx.codes.INSUFFICIENT_STORAGE: StorageFullError,
}
_PUBLIC = "/api/v1"
WORKER = "/api/v1/worker"
# The service verifies a whole file before its first byte.
_FETCHING = httpx.Timeout(10.0, read=300.0)
_log = logging.getLogger(__name__)


class ServiceClient:
    """One keep-alive connection pool to the service; safe to share among threads.

    Every call raises ServiceUnreachableError when patience ends, LeaseLostError on 409,
    NotAllowedError on 401 and 403, RefusedError on any other refusal, and UnexpectedAnswerError
    when it cannot read the answer.
    """

    def __init__(
        self,
        url: str,
        *,
        patience: Patience,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.url = url
        self._patience = patience
        self._timeout_seconds = timeout_seconds
        self._http = httpx.Client(
            base_url=url,
            headers={} if api_key is None else {"Authorization": f"Bearer {api_key}"},
            # Without TLS no certificates are needed, and loading them takes 20 to 50 ms.
            verify=url.startswith("https://"),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def claim(self, request: ClaimRequest) -> Claim | None:
        """The next queued job, or None where none comes in the time that the request names."""
        answer = self.request(
            "POST", f"{WORKER}/claim", body=request, wait_seconds=request.wait_seconds
        )
        return None if answer.status_code == httpx.codes.NO_CONTENT else read(Claim, answer)

    def get(self, path: str, model: type[Model]) -> Model:
        """What the public API answers at a path below `/api/v1`."""
        return read(model, self.request("GET", _PUBLIC + path))

    def get_trial(self, trial_id: str) -> Trial:
        return read(Trial, self.request("GET", f"{_PUBLIC}/trials/{trial_id}"))

    def iter_trials(self, job_id: str) -> Iterator[Trial]:
        """All trials of a job in the order of their creation, page by page."""
        cursor: str | None = None
        while True:
            query = f"?limit=100&cursor={cursor}" if cursor else "?limit=100"
            page = read(Page[Trial], self.request("GET", f"{_PUBLIC}/jobs/{job_id}/trials{query}"))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def has_networks(self, job_id: str) -> bool:
        answer = self.request("GET", f"{_PUBLIC}/jobs/{job_id}/networks?limit=1")
        return bool(read(Page[Network], answer).items)

    def request(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | bytes | None = None,
        token: str | None = None,
        wait_seconds: float = 0.0,
    ) -> httpx.Response:
        """One request, repeated while the service is away; it may wait before it answers."""
        headers = {"Content-Type": "application/json"}
        content: bytes | None = None
        if isinstance(body, bytes):
            content, headers["Content-Type"] = body, "application/octet-stream"
        elif body is not None:
            content = body.model_dump_json().encode()
        if token is not None:
            headers[LEASE_HEADER] = token
        retrying = self._patience.retrying()
        timeout = self._timeout_seconds + wait_seconds
        answer = retrying(self._send, method, path, content, headers, timeout)
        if retrying.statistics.get("attempt_number", 1) > 2:
            _log.warning("the service at %s answers again", self.url)
        return answer

    def fetch(self, path: str, target: IO[bytes], *, token: str) -> None:
        """Write a file to `target` as it comes, from its start again while the service is away."""
        self._patience.retrying()(self._receive, path, target, {LEASE_HEADER: token})

    def _receive(self, path: str, target: IO[bytes], headers: dict[str, str]) -> None:
        target.seek(0)
        target.truncate()
        try:
            with self._http.stream("GET", path, headers=headers, timeout=_FETCHING) as answer:
                if not answer.is_success:
                    answer.read()
                self._checked(answer, "GET", path)
                for chunk in answer.iter_bytes():
                    target.write(chunk)
        except httpx.TransportError as error:
            cause = str(error) or type(error).__name__
            raise ServiceUnreachableError(url=self.url, cause=cause) from error

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | None,
        headers: dict[str, str],
        timeout: float,
    ) -> httpx.Response:
        try:
            answer = self._http.request(
                method, path, content=content, headers=headers, timeout=timeout
            )
        except httpx.TransportError as error:
            cause = str(error) or type(error).__name__
            raise ServiceUnreachableError(url=self.url, cause=cause) from error
        return self._checked(answer, method, path)

    def _checked(self, answer: httpx.Response, method: str, path: str) -> httpx.Response:
        if answer.status_code in _AWAY:
            raise ServiceUnreachableError(url=self.url, cause=f"status {answer.status_code}")
        if answer.status_code == httpx.codes.CONFLICT:
            raise LeaseLostError(request=f"{method} {path}", detail=_detail(answer))
        if not answer.is_success:
            refusal = _REFUSALS.get(answer.status_code, RefusedError)
            raise refusal(
                request=f"{method} {path}", status=answer.status_code, detail=_detail(answer)
            )
        return answer


def read(model: type[Model], answer: httpx.Response) -> Model:
    """What the service answered; raises UnexpectedAnswerError where it is something else."""
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        request = f"{answer.request.method} {answer.request.url.path}"
        raise UnexpectedAnswerError(request=request, detail=str(error)) from error


def _detail(answer: httpx.Response) -> str:
    """What the problem says, or the start of whatever came instead of a problem."""
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return answer.text[:200] or answer.reason_phrase
    fields = (f"{e.field}: got {e.given}, allowed: {e.allowed}" for e in problem.errors)
    return "; ".join([problem.detail or problem.title, *fields])
