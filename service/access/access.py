"""Finds out who makes a request: the holder of a key, of a session, or anybody."""

from dataclasses import replace

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request

from service.access.failures import Failures
from service.access.identity import ANYBODY, Identity
from service.access.keyring import Keyring
from service.access.rates import Rates
from service.access.sessions import COOKIE, Sessions
from service.errors import UnauthorizedError
from service.settings import Settings
from service.store import Store
from shrinknets.wire import KEY_PREFIX

NO_KEY = (
    "This service wants an API key: send it in the header `Authorization: Bearer sn_…`, or log in "
    "at /login. Its operator makes one with `shrinknets keys create`."
)
WRONG_KEY = (
    "This API key is not valid: it is unknown here, revoked or expired. The service's operator "
    "makes another with `shrinknets keys create`."
)
SESSION_OVER = "This session has ended: log in again at /login."


class Access:
    """Keys, sessions and failures of one running service."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.keyring = Keyring(store, settings)
        self.sessions = Sessions(settings.data_dir)
        self.failures = Failures()
        self.rates = Rates(settings.max_requests_per_second)

    async def identify(self, request: Request) -> Identity:
        """Who makes a request.

        Raises UnauthorizedError, and TooManyFailuresError where wrong keys came too often.
        """
        if self.keyring.is_open_for_sure():
            return ANYBODY
        if (key := key_in(request)) is not None:
            return await self._holder(key, request)
        cookie = request.cookies.get(COOKIE)
        if cookie is not None and (key_id := self.sessions.read(cookie)) is not None:
            return await self._holder_of_session(key_id)
        if await run_in_threadpool(self.keyring.is_open):
            return ANYBODY
        raise UnauthorizedError(NO_KEY if cookie is None else SESSION_OVER)

    async def is_still(self, identity: Identity) -> bool:
        """Whether somebody who was identified before still is who they were."""
        if identity.key_id is None:
            # Nobody needed a key, or it holds as long as this process.
            if identity is not ANYBODY or self.keyring.is_open_for_sure():
                return True
            return await run_in_threadpool(self.keyring.is_open)
        if self.keyring.recall_id(identity.key_id) is not None:
            return True
        return await run_in_threadpool(self.keyring.find_id, identity.key_id) is not None

    def find_by_key(self, key: str, *, address: str) -> Identity | None:
        """The holder of a key; a wrong one is counted. Raises TooManyFailuresError."""
        # Who was let in before is not kept out by a neighbour's mistakes.
        if not self.keyring.was_known(key):
            self.failures.check(address)
        found = self.keyring.find(key) if _may_be_a_key(key) else None
        if found is None:
            self.failures.count(address)
        return found

    def note_failure(self, request: Request) -> None:
        """Count what was shown in place of a key. Raises TooManyFailuresError."""
        address = address_of(request)
        self.failures.check(address)
        self.failures.count(address)

    async def _holder(self, key: str, request: Request) -> Identity:
        if (known := self.keyring.recall(key)) is not None:
            return known
        if await run_in_threadpool(self.keyring.is_open):
            return ANYBODY
        address = address_of(request)
        found = await run_in_threadpool(self.find_by_key, key, address=address)
        if found is None:
            raise UnauthorizedError(WRONG_KEY)
        return found

    async def _holder_of_session(self, key_id: str) -> Identity:
        found = self.keyring.recall_id(key_id)
        if found is None:
            found = await run_in_threadpool(self.keyring.find_id, key_id)
        if found is None:
            raise UnauthorizedError(SESSION_OVER)
        return replace(found, by_cookie=True)


def key_in(request: Request) -> str | None:
    """What the header Authorization shows as a key; other schemes are for a proxy before us."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def address_of(request: Request) -> str:
    """The address that a request comes from."""
    return request.client.host if request.client is not None else ""


def _may_be_a_key(text: str) -> bool:
    return text.startswith(KEY_PREFIX) and len(text) < 100
