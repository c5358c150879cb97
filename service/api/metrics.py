"""Says what the service counted."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from service.api.dependencies import ServicesOf
from service.metrics import CONTENT_TYPE

router = APIRouter(tags=["service"])


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses={200: {"content": {CONTENT_TYPE: {}}, "description": "Prometheus' text format."}},
)
def metrics(services: ServicesOf) -> Response:
    """What this process counted, and what stands in the database."""
    return Response(services.metrics.exposed(), media_type=CONTENT_TYPE)
