"""HTTP to the service: one connection pool, and every failure as one of the client's errors."""

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shrinknets._encoding import as_json
from shrinknets._errors import (
    ConflictError,
    InvalidInputError,
    InvalidKeyError,
    InvalidUrlError,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    ServiceError,
    ServiceUnreachableError,
)
from shrinknets.wire import Page, Problem, can_be_key

PAGE_LIMIT = 500
RETRY_SECONDS = 0.5
_AWAY = frozenset({502, 503, 504})

Model = TypeVar("Model", bound=BaseModel)

_ERRORS: dict[int, type[ServiceError]] = {
    403: NotAllowedError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidInputError,
}


class Transport:
    """Speaks `/api/v1`.

    Args:
        url: the service's address, such as http://127.0.0.1:8000.
        timeout_seconds: for one request.
        api_key: shown with every request, if there is one.
        transport: replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float,
        api_key: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidUrlError(url)
        self.url = url.rstrip("/")
        self._has_key = api_key is not None
        try:
            self._http = httpx.Client(
                base_url=f"{self.url}/api/v1",
                headers={} if api_key is None else {"Authorization": f"Bearer {_checked(api_key)}"},
                timeout=timeout_seconds,
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise InvalidUrlError(url) from error

    def get(self, path: str, kind: type[Model], *, query: Mapping[str, Any] | None = None) -> Model:
        """Fetch one thing; raises ServiceUnreachableError or ServiceError."""
        return _parsed(self._request("GET", path, params=dict(query or {})), kind)

    def pages(
        self, path: str, kind: type[Model], *, query: Mapping[str, Any] | None = None
    ) -> Iterator[Model]:
        """Fetch a list page by page, as it is read."""
        cursor: str | None = None
        while True:
            place = {"cursor": cursor} if cursor else {}
            params = {**(query or {}), "limit": PAGE_LIMIT, **place}
            page = _parsed(self._request("GET", path, params=params), Page[kind])  # type: ignore[valid-type]
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def post(
        self,
        path: str,
        kind: type[Model],
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        tries: int = 1,
    ) -> Model:
        """Send a body that JSON can hold; raises ServiceUnreachableError or ServiceError.

        Args:
            path: below `/api/v1`.
            kind: of the answer.
            body: None sends none.
            headers: beside the content's type.
            tries: more than one only where sending it twice is the same as once.
        """
        options = {
            "content": as_json(body),
            "headers": {"Content-Type": "application/json", **(headers or {})},
        }
        for left in reversed(range(tries)):
            try:
                return _parsed(self._request("POST", path, **options), kind)
            except ServiceUnreachableError:
                if left == 0:
                    raise
            except ServiceError as error:
                if left == 0 or error.status not in _AWAY:
                    raise
            time.sleep(RETRY_SECONDS)
        raise AssertionError("the last try returns or raises")

    def upload(
        self,
        path: str,
        kind: type[Model],
        *,
        query: Mapping[str, Any],
        chunks: Iterator[bytes],
        size_bytes: int,
        seconds: float,
    ) -> Model:
        """Send a file in parts; raises ServiceUnreachableError or ServiceError.

        Args:
            path: below `/api/v1`.
            kind: of the answer.
            query: what the address says beside the path.
            chunks: the parts, of `size_bytes` in all.
            size_bytes: so that the service can refuse before the first part is sent.
            seconds: how long the answer may take.
        """
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_bytes),
        }
        usual = self._http.timeout
        timeout = httpx.Timeout(
            connect=usual.connect, read=seconds, write=usual.write, pool=usual.pool
        )
        options = {"params": query, "headers": headers, "timeout": timeout}
        return _parsed(self._request("POST", path, content=chunks, **options), kind)

    def save(self, path: str, file: str | os.PathLike[str]) -> Path:
        """Download to a file; one of this name is replaced once the new one is complete.

        Raises:
            ServiceUnreachableError, ServiceError: it cannot be had.
            FileNotFoundError: there is no such folder.
            OSError: the file can't be written.
        """
        target = Path(file)
        if not target.parent.is_dir():
            raise FileNotFoundError(f"cannot save {target}: there is no folder {target.parent}")
        partial = target.with_name(f".{target.name}.partial")
        try:
            with partial.open("wb") as content:
                self._download(path, content)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def _download(self, path: str, target: IO[bytes]) -> None:
        try:
            with self._http.stream("GET", path) as response:
                if response.is_error:
                    response.read()
                    self._raise_for(response)
                for part in response.iter_bytes():
                    target.write(part)
        except httpx.TransportError as error:
            raise ServiceUnreachableError(self.url, str(error) or type(error).__name__) from error

    def patch(self, path: str, kind: type[Model], *, body: object) -> Model:
        """Change one thing; raises ServiceUnreachableError or ServiceError."""
        headers = {"Content-Type": "application/json"}
        return _parsed(self._request("PATCH", path, content=as_json(body), headers=headers), kind)

    def delete(self, path: str) -> None:
        """Delete one thing; raises ServiceUnreachableError or ServiceError."""
        self._request("DELETE", path)

    def content(self, path: str) -> bytes:
        """Fetch a file."""
        return self._request("GET", path).content

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **options)
        except httpx.InvalidURL as error:
            raise InvalidUrlError(f"{self.url}/api/v1{path}") from error
        except httpx.TransportError as error:
            raise ServiceUnreachableError(self.url, str(error) or type(error).__name__) from error
        if response.is_error:
            self._raise_for(response)
        return response

    def _raise_for(self, response: httpx.Response) -> NoReturn:
        problem = _problem(response)
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise NotAuthenticatedError(problem, url=self.url, has_key=self._has_key)
        raise _ERRORS.get(response.status_code, ServiceError)(problem)


def _checked(api_key: str) -> str:
    """The key; raises InvalidKeyError for what the errors of HTTP libraries would print."""
    key = api_key.strip()
    if not can_be_key(key):
        raise InvalidKeyError
    return key


def _parsed(response: httpx.Response, kind: type[Model]) -> Model:
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise ServiceError(
            Problem(
                type="about:blank",
                title="unexpected answer",
                status=response.status_code,
                detail=f"{response.url} did not answer with a {kind.__name__}: is this a "
                f"ShrinkNets service of this client's version? ({error.error_count()} errors)",
            )
        ) from error


def _problem(response: httpx.Response) -> Problem:
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=f"{response.url} answered {response.status_code} {response.reason_phrase}",
        )
