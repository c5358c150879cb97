"""Renders the templates; whatever they show is escaped."""

from functools import cache
from http import HTTPStatus
from typing import Any

from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from service.access import Identity
from service.dashboard import words
from service.dashboard.assets import asset_url
from service.dashboard.search_facts import search_facts


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"asset": asset_url, "words": words, "search_facts": search_facts}
    return environment


def render(
    template: str,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    caller: Identity | None = None,
    **values: Any,
) -> HTMLResponse:
    """The page that a template makes of some values, for somebody who may be logged in."""
    values["caller"] = caller
    text = _environment().get_template(template).render(values)
    # A page shows what is now: asked for again, it is made again.
    return HTMLResponse(text, status_code=status, headers={"Cache-Control": "private, no-cache"})
