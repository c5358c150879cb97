"""Tells whether a page of another site made a browser send a request."""

from urllib.parse import urlsplit

from starlette.requests import Request

from service.errors import ForbiddenError

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN = (
    "This request does not come from a page of this service: reload the page, or show an API key "
    "in the header Authorization."
)


def require_own_page(request: Request, *, by_cookie: bool) -> None:
    """Raises ForbiddenError for a change that a foreign page asks for.

    Browsers say where a request comes from, and no page can make them say otherwise. A request
    without a word of it comes from a program: it may do what needs no cookie.
    """
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    if site is not None:
        is_own = site in {"same-origin", "none"}
    elif origin is not None:
        # Without the scheme: a proxy that ends TLS speaks HTTP to us.
        is_own = urlsplit(origin).netloc == request.headers.get("host", "")
    else:
        is_own = not by_cookie
    if not is_own:
        raise ForbiddenError(FOREIGN)
