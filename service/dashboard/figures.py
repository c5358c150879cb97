"""The figures of a job as plotly JSON."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from service.api.dependencies import JobId, StoreOf
from service.dashboard.results import networks_of, trials_of
from service.store.records import read_alive_units
from shrinknets.figures import Figure, frontier_figure, units_figure
from shrinknets.wire import Method

SHRINKING = (Method.SHRINKNETS, Method.PATH)
"""The methods whose trials change size."""

MAX_LINES = 200
"""More than this no one tells apart, and browsers slow down."""

MAX_POINTS = 20_000
"""Of all lines together."""

router = APIRouter(prefix="/jobs/{job_id}/figures", default_response_class=JSONResponse)


@router.get("/frontier.json")
def frontier_json(job_id: JobId, store: StoreOf) -> JSONResponse:
    """Size against accuracy."""
    with store.reading() as tx:
        found = networks_of(tx, job_id)
    return _respond(frontier_figure(found))


@router.get("/units.json")
def units_json(job_id: JobId, store: StoreOf) -> JSONResponse:
    """Alive hidden units over epochs."""
    with store.reading() as tx:
        trials = [trial for trial in trials_of(tx, job_id) if trial.method in SHRINKING]
        newest = trials[-MAX_LINES:]
        points = min(200, MAX_POINTS // max(len(newest), 1))
        curves = read_alive_units(tx, [trial.id for trial in newest], points=points)
    note = f"the newest {MAX_LINES} of {len(trials):,} trials" if len(trials) > MAX_LINES else ""
    return _respond(units_figure(newest, curves, note=note))


def _respond(figure: Figure) -> JSONResponse:
    return JSONResponse(figure, headers={"Cache-Control": "private, no-cache"})
