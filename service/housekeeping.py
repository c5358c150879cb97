"""What the service does by itself: ends overdue leases, forgets old keys, hears of events."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from service.errors import UnavailableError
from service.services import Services
from service.store import News, events, expiry, submissions

POLL_SECONDS = 1.0
"""How late news of another service process are heard at most, where the database tells nothing."""

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def housekeeping(services: Services) -> AsyncIterator[None]:
    """Keep house for as long as the block runs."""
    ended = asyncio.Event()
    seconds = services.settings.expire_every_seconds
    tasks = [
        asyncio.create_task(_repeat(_Expiry(services), seconds, ended)),
        asyncio.create_task(_repeat(_Poll(services), POLL_SECONDS, ended)),
        asyncio.create_task(services.feed.run()),
    ]
    listening = asyncio.create_task(services.store.listen()) if services.store.can_listen else None
    try:
        yield
    finally:
        services.bell.close()
        if listening is not None:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening
        # Not cancelled: a round that has begun in its thread must not outlive the database.
        ended.set()
        await asyncio.gather(*tasks)


async def _repeat(job: Callable[[], None], seconds: float, ended: asyncio.Event) -> None:
    while not await _is_set_within(ended, seconds):
        try:
            await asyncio.to_thread(job)
        except Exception:
            _logger.exception("Housekeeping failed; the next try is in %g s.", seconds)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


class _Expiry:
    """Ends overdue leases, but only after their holders had time to come back.

    While the service or its database was away nobody could renew: whoever outlived it goes first.
    """

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._settings = services.settings
        self._wait()

    def __call__(self) -> None:
        try:
            self._expire()
        except UnavailableError:
            self._wait()
            raise

    def _wait(self) -> None:
        now = time.monotonic()
        self._jobs_from = now + self._settings.job_lease_seconds
        self._attempts_from = now + self._settings.attempt_lease_seconds

    def _expire(self) -> None:
        now = time.monotonic()
        with self._store.writing() as tx:
            if now >= self._jobs_from:
                expiry.expire_jobs(tx)
            if now >= self._attempts_from:
                expiry.expire_attempts(tx)
            submissions.forget_old_keys(tx)


class _Poll:
    """Rings the bell for events that another process wrote, wherever that was not heard."""

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._bell = services.bell
        self._latest = 0

    def __call__(self) -> None:
        with self._store.reading() as tx:
            latest = events.latest_event_id(tx)
        if latest != self._latest:
            self._latest = latest
            self._bell.ring(News.QUEUE)
