"""Says whether the service is up, and whether it can work."""

from http import HTTPStatus
from importlib.metadata import version

from fastapi import APIRouter, Response
from pydantic import BaseModel

from service.api.dependencies import ServicesOf
from service.problems import not_ready
from shrinknets.wire import Problem

router = APIRouter(tags=["service"])


class Health(BaseModel):
    """The service answers."""

    status: str
    version: str


@router.get("/healthz", summary="Is the service up?")
def healthz() -> Health:
    """Answer without asking the database."""
    return Health(status="ok", version=version("shrinknets"))


@router.get(
    "/readyz",
    summary="Can the service work?",
    response_model=Health,
    responses={
        HTTPStatus.SERVICE_UNAVAILABLE: {
            "model": Problem,
            "description": "It cannot; `errors` names what is not ready.",
        }
    },
)
async def readyz(services: ServicesOf) -> Health | Response:
    """Ask the database for its schema, and the artifact store to keep, return and drop a file."""
    if services.is_stopping:
        return not_ready({"service": "it is shutting down"})
    failures = await services.readiness.failures()
    return not_ready(failures) if failures else Health(status="ok", version=version("shrinknets"))
