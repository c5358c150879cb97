"""The dependencies that stand before endpoints: one says for each which permission it asks for."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.access import Access, address_of, key_in
from service.access.identity import Identity, Permission, roles_with
from service.access.origins import SAFE_METHODS, require_own_page
from service.errors import ForbiddenError, UnauthorizedError
from service.store import Store, leases
from shrinknets.wire import LEASE_HEADER

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="ApiKey",
    description="An API key; `shrinknets keys create` makes one. Not asked for where no key was "
    "ever made, on a service that listens to its own machine alone.",
)
# Only for the description: who wants to know the caller reads the header itself.
_Documented = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


class Guard:
    """Lets a request through whose sender has a permission.

    `reading` is asked for by methods that change nothing, `writing` by all others: an endpoint
    that is added to a guarded router is never open by accident.
    """

    def __init__(self, *, reading: Permission, writing: Permission) -> None:
        self._reading = reading
        self._writing = writing

    def asks(self, method: str) -> Permission:
        """The permission that a method needs."""
        return self._reading if method in SAFE_METHODS else self._writing

    async def __call__(self, request: Request, documented: _Documented) -> None:  # noqa: ARG002
        """Raises UnauthorizedError, ForbiddenError, TooManyFailuresError, TooManyRequestsError."""
        access: Access = request.app.state.services.access
        identity = await access.identify(request)
        if key_in(request) is None:
            require_own_page(request, by_cookie=identity.by_cookie)
        access.rates.count(identity, address_of(request))
        self._require(identity, self.asks(request.method))
        request.state.identity = identity

    def _require(self, identity: Identity, permission: Permission) -> None:
        if not identity.may(permission):
            roles = " or ".join(roles_with(permission))
            raise ForbiddenError(
                f"A key of role {identity.role} must not do this: it needs the role {roles}."
            )


class AttemptGuard(Guard):
    """Lets through whoever holds the token of an attempt, running or not, and else asks for a key.

    So the process of a trial needs no key. What the token is still good for the endpoint decides.
    """

    async def __call__(self, request: Request, documented: _Documented) -> None:
        """Raises UnauthorizedError, ForbiddenError, TooManyFailuresError, TooManyRequestsError."""
        try:
            await super().__call__(request, documented)
        except UnauthorizedError:
            token = request.headers.get(LEASE_HEADER)
            if token is None:
                raise
            services = request.app.state.services
            if not await run_in_threadpool(_is_known, services.store, token):
                services.access.note_failure(request)
                raise


def _is_known(store: Store, token: str) -> bool:
    with store.reading() as tx:
        return leases.is_attempt_token(tx, token)


async def _identity(request: Request) -> Identity:
    identity: Identity = request.state.identity
    return identity


Caller = Annotated[Identity, Depends(_identity)]
"""Who makes the request; for endpoints behind a guard."""


def identity_of(request: Request) -> Identity | None:
    """Who makes the request, where a guard has let it through."""
    return getattr(request.state, "identity", None)


def guards_of(dependant: Dependant) -> Iterator[Guard]:
    """All guards that stand before an endpoint."""
    for inner in dependant.dependencies:
        if isinstance(inner.call, Guard):
            yield inner.call
        yield from guards_of(inner)
