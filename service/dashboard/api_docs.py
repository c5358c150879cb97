"""The description of the API, for programs and for people."""

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse

from service.access import Caller
from service.dashboard.pages import PageRoute
from service.dashboard.templating import render

router = APIRouter()
pages = APIRouter(route_class=PageRoute, default_response_class=HTMLResponse)


@router.get("/openapi.json")
def read_description(request: Request) -> dict[str, Any]:
    """The whole API as OpenAPI."""
    app: FastAPI = request.app
    return app.openapi()


@pages.get("/docs")
def show_description(caller: Caller) -> HTMLResponse:
    """The same as a page; FastAPI's own has its script in its text, which no policy allows."""
    return render("api.html", caller=caller)


router.include_router(pages)
