"""Says whether the service is up."""

from importlib.metadata import version

from fastapi import APIRouter
from pydantic import BaseModel

router = APIRouter(tags=["service"])


class Health(BaseModel):
    """The service answers."""

    status: str
    version: str


@router.get("/healthz", summary="Is the service up?")
def healthz() -> Health:
    """Answer without asking the database."""
    return Health(status="ok", version=version("shrinknets"))
