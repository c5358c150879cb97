"""Logging in turns a key into a cookie, logging out takes it away."""

import logging
from http import HTTPStatus
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from service.access import COOKIE, SESSION_SECONDS, Identity, actor_of, address_of, require_own_page
from service.api.dependencies import ServicesOf
from service.dashboard.templating import render
from service.errors import ForbiddenError, TooManyFailuresError, UnauthorizedError
from service.services import Services
from service.store import audit
from service.store.audit import Actor
from shrinknets.wire import Outcome

HOME = "/"
MAX_FORM = 8192
WRONG_KEY = "This key is not valid here: it is unknown, revoked or expired."

_logger = logging.getLogger(__name__)

router = APIRouter(default_response_class=HTMLResponse)


@router.get("/login")
async def show_login(request: Request, services: ServicesOf, next: str = HOME) -> Response:  # noqa: A002
    """Ask for a key, unless none is needed any more."""
    try:
        await services.access.identify(request)
    except (UnauthorizedError, TooManyFailuresError):
        return _form(_inside(next))
    return _redirect(_inside(next))


@router.post("/login")
async def log_in(request: Request, services: ServicesOf) -> Response:
    """Give a cookie for a valid key, and lead to where the reader wanted to go."""
    target = HOME
    try:
        require_own_page(request, by_cookie=False)
        form = await _read_form(request)
        target = _inside(form.get("next", HOME))
        found = await run_in_threadpool(_identify, services, form.get("key", ""), request)
    except ForbiddenError as error:
        return _form(target, error=str(error), status=HTTPStatus.FORBIDDEN)
    except TooManyFailuresError as error:
        answer = _form(target, error=str(error), status=HTTPStatus.TOO_MANY_REQUESTS)
        answer.headers["Retry-After"] = str(error.retry_seconds)
        return answer
    if found is None or found.key_id is None:
        return _form(target, error=WRONG_KEY, status=HTTPStatus.UNAUTHORIZED)
    response = _redirect(target)
    response.set_cookie(
        COOKIE,
        services.access.sessions.issue(found.key_id),
        max_age=SESSION_SECONDS,
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",
    )
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """Take the cookie away. Raises ForbiddenError where a foreign page asks for it."""
    require_own_page(request, by_cookie=COOKIE in request.cookies)
    response = _redirect("/login")
    response.delete_cookie(
        COOKIE, secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )
    return response


def redirect_to_login(request: Request) -> RedirectResponse:
    """Lead to the login, and from there back to what was asked for."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return _redirect("/login" if wanted == HOME else f"/login?next={quote(wanted, safe='/')}")


def _identify(services: Services, key: str, request: Request) -> Identity | None:
    address = address_of(request)
    found = services.access.find_by_key(key.strip(), address=address)
    actor = Actor(key_id=None, owner="") if found is None else actor_of(found)
    outcome = Outcome.FAILURE if found is None else Outcome.SUCCESS
    with services.store.writing() as tx:
        audit.note(tx, actor, "login", address, outcome=outcome)
    if found is None:
        _logger.warning("A login from %s failed.", address)
    return found


async def _read_form(request: Request) -> dict[str, str]:
    """The last value of each field; nothing where the form is too long to be ours."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"))
    return {name: values[-1] for name, values in fields.items()}


def _inside(target: str) -> str:
    """The target if it is a path of this service, or else the first page."""
    parts = urlsplit(target)
    # Browsers read a backslash as a slash, and skip tabs and line ends.
    is_path = target.startswith("/") and not target.startswith(("//", "/\\"))
    is_plain = target.isprintable() and "\\" not in target
    is_inside = is_path and is_plain and not parts.scheme and not parts.netloc
    return target if is_inside else HOME


def _form(target: str, *, error: str = "", status: HTTPStatus = HTTPStatus.OK) -> HTMLResponse:
    return render("login.html", status=status, next=target, error=error)


def _redirect(target: str) -> RedirectResponse:
    return RedirectResponse(target, status_code=HTTPStatus.SEE_OTHER)
