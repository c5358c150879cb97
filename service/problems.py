"""Maps every error to an answer (RFC 9457), in this one place."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from service.errors import (
    ArtifactDamagedError,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    LeaseLostError,
    NotFoundError,
    RangeNotSatisfiableError,
    ServiceError,
    StorageFullError,
    TooLargeError,
    TooManyFailuresError,
    TooManyJobsError,
    TooManyRequestsError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaError,
)
from service.fields import field_errors, shortened
from shrinknets import logs
from shrinknets.wire import FieldError, Problem

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-Id"
RETRY_SECONDS = 1
STREAMS_RETRY_SECONDS = 5

_logger = logging.getLogger(__name__)

# The first that fits counts, so the special ones stand before the general ones.
_STATUS: list[tuple[type[ServiceError], HTTPStatus, str]] = [
    (UnauthorizedError, HTTPStatus.UNAUTHORIZED, "unauthorized"),
    (ForbiddenError, HTTPStatus.FORBIDDEN, "forbidden"),
    (TooManyFailuresError, HTTPStatus.TOO_MANY_REQUESTS, "too-many-failures"),
    (TooManyRequestsError, HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests"),
    (TooManyJobsError, HTTPStatus.TOO_MANY_REQUESTS, "too-many-jobs"),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large"),
    (UnsupportedMediaError, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
    (NotFoundError, HTTPStatus.NOT_FOUND, "not-found"),
    (LeaseLostError, HTTPStatus.CONFLICT, "lease-lost"),
    (ConflictError, HTTPStatus.CONFLICT, "conflict"),
    (InvalidInputError, HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input"),
    (RangeNotSatisfiableError, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "range"),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable"),
    (StorageFullError, HTTPStatus.INSUFFICIENT_STORAGE, "storage-full"),
    (ArtifactDamagedError, HTTPStatus.INTERNAL_SERVER_ERROR, "artifact-damaged"),
    (ServiceError, HTTPStatus.INTERNAL_SERVER_ERROR, "internal"),
]


_BODIES = {
    "408": "The body came too slowly.",
    "413": "The body is larger than this service takes.",
}


def install(app: FastAPI) -> None:
    """Let the app answer every error with a problem, and say so in its description."""
    app.exception_handler(ServiceError)(_service_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_error)
    app.exception_handler(ClientDisconnect)(_client_gone)
    app.exception_handler(Exception)(_bug)
    describe = app.openapi
    app.openapi = lambda: _with_media_type(describe())  # type: ignore[method-assign]


def problem(
    status: HTTPStatus,
    kind: str,
    detail: str,
    *,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells what went wrong."""
    body = Problem(
        type=f"urn:shrinknets:problem:{kind}",
        title=status.phrase,
        status=status,
        detail=detail,
        errors=errors or [],
        request_id=logs.current().get("request_id"),
    )
    return JSONResponse(
        body.model_dump(mode="json"), status_code=status, headers=headers, media_type=MEDIA_TYPE
    )


def too_large(limit: int) -> JSONResponse:
    """The answer to a body beyond the limit, in bytes."""
    return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large", beyond(limit))


def beyond(limit: int) -> str:
    """What is said of a body beyond the limit, in bytes."""
    return f"The body is larger than the {limit:,} bytes that are taken here: send less at once."


def too_many_streams() -> JSONResponse:
    """The answer to who wants to follow events when all places are taken."""
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "too-many-streams",
        "As many streams of events are open as this service allows: close those that nobody reads "
        "and try again in a moment. Its operator can allow more with SHRINKNETS_MAX_STREAMS.",
        headers={"Retry-After": str(STREAMS_RETRY_SECONDS)},
    )


def wrong_host(host: str) -> JSONResponse:
    """The answer to a request for a name that is not this service's."""
    return problem(
        HTTPStatus.MISDIRECTED_REQUEST,
        "wrong-host",
        f"This service does not answer to the name {shortened(host)}; its operator can add names "
        "to SHRINKNETS_ALLOWED_HOSTS.",
    )


def not_ready(failures: Mapping[str, str]) -> JSONResponse:
    """The answer of a service that cannot work now, with the reason of each part."""
    # The reasons are for the log: this answer goes to whoever asks.
    errors = [
        FieldError(field=part, given="not ready", allowed="ready to serve requests")
        for part in failures
    ]
    return problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-ready",
        f"Not ready: {', '.join(failures)}; the log says why.",
        errors=errors,
        headers={"Retry-After": str(RETRY_SECONDS)},
    )


async def _service_error(_: Request, error: ServiceError) -> JSONResponse:
    status, kind = next((s, k) for cls, s, k in _STATUS if isinstance(error, cls))
    if status is HTTPStatus.INSUFFICIENT_STORAGE:
        _logger.error("%s", error)
    elif status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _logger.error("%s", error, exc_info=error)
    return problem(
        status,
        kind,
        str(error),
        errors=[error.error] if isinstance(error, InvalidInputError) else None,
        headers=_headers(error),
    )


def _headers(error: ServiceError) -> dict[str, str] | None:
    match error:
        case UnauthorizedError():
            return {"WWW-Authenticate": "Bearer"}
        case TooManyFailuresError() | TooManyRequestsError():
            return {"Retry-After": str(error.retry_seconds)}
        case UnavailableError():
            return {"Retry-After": str(RETRY_SECONDS)}
        case RangeNotSatisfiableError():
            return {"Content-Range": f"bytes */{error.size}"}
        case _:
            return None


async def _invalid_request(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = error.errors()
    for one in errors:
        place, name = (*one["loc"], "", "")[:2]
        if place == "path" and (what := _what(str(name))):
            return problem(HTTPStatus.NOT_FOUND, "not-found", f"There is no such {what}.")
    return _invalid(field_errors(errors, body=_body_model(request)))


def _what(name: str) -> str:
    """What a part of a path names; empty where a wrong one is no reason to look elsewhere."""
    return "data set" if name == "dataset" else name.removesuffix("_id") * name.endswith("_id")


async def _client_gone(_: Request, __: ClientDisconnect) -> JSONResponse:
    # Nobody reads it; without an answer it would be logged as a bug.
    return problem(HTTPStatus.BAD_REQUEST, "client-gone", "The body ended before its end.")


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    match status:
        case HTTPStatus.BAD_REQUEST:
            # FastAPI's word for a body that is not even text, or nested without end.
            return _invalid([FieldError(field="body", given="an unreadable body", allowed="JSON")])
        case HTTPStatus.NOT_FOUND:
            detail = f"There is nothing at {shortened(request.url.path)}."
        case HTTPStatus.METHOD_NOT_ALLOWED:
            # The framework names the methods of the first route that fits alone.
            headers["Allow"] = allowed = ", ".join(sorted(_methods_at(request)))
            detail = f"Got {shortened(request.method)}, allowed is {allowed}."
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem(status, "too-large", str(error.detail))
        case _:
            detail = str(error.detail)
    kind = status.phrase.lower().replace(" ", "-")
    return problem(status, kind, detail, headers=headers)


def _methods_at(request: Request) -> set[str]:
    routes = [(route.path or "", route) for route in iter_route_contexts(request.app.routes)]
    path = request.scope["path"]
    # The first that fits is what the address means: "compare" is no job's id.
    fitting = next((known for known, _ in routes if compile_path(known)[0].fullmatch(path)), None)
    return {method for known, route in routes if known == fitting for method in route.methods or ()}


async def _bug(_: Request, __: Exception) -> JSONResponse:
    return problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "The service failed at this request; its log says where.",
        # This one is answered outside of the middleware that names all others.
        headers={REQUEST_ID_HEADER: logs.current().get("request_id", "")},
    )


def _with_media_type(document: dict[str, Any]) -> dict[str, Any]:
    # FastAPI takes every answer that has a model for one of the type of the successful answer.
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                content = answer.get("content", {})
                if status >= "4" and content:
                    (model,) = content.values()
                    answer["content"] = {MEDIA_TYPE: model}
            if "requestBody" in operation:
                _describe_limits_of_bodies(operation["responses"])
    return document


def _describe_limits_of_bodies(answers: dict[str, Any]) -> None:
    # The middleware refuses them before any route is asked.
    for status, words in _BODIES.items():
        answers.setdefault(status, {"description": words, "content": answers["422"]["content"]})


def _invalid(errors: list[FieldError]) -> JSONResponse:
    detail = "; ".join(f"{e.field}: got {e.given}, allowed is {e.allowed}" for e in errors)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", detail, errors=errors)


def _body_model(request: Request) -> type[BaseModel] | None:
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or route.body_field is None:
        return None
    model = route.body_field.field_info.annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else None
