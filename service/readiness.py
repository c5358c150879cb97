"""Asks the database and the artifact store, within a time limit, whether requests can be served."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from service.artifacts import Artifacts
from service.errors import ServiceError
from service.store import Store, require_head_in

KEEP_SECONDS = 10.0
"""So long a file that was written and read proves that the next could be."""

_logger = logging.getLogger(__name__)


class Readiness:
    """The checks of one app; each runs once at a time, however many ask."""

    def __init__(self, store: Store, artifacts: Artifacts, *, limit_seconds: float) -> None:
        self._limit_seconds = limit_seconds

        def check_database() -> None:
            with store.reading() as tx:
                require_head_in(tx)

        self._checks = {
            "database": _Check(check_database, keep_seconds=0.0),
            "artifacts": _Check(artifacts.probe, keep_seconds=KEEP_SECONDS),
        }

    async def failures(self) -> Mapping[str, str]:
        """What is not ready, and why in words; takes no longer than the limit."""
        answers = await asyncio.gather(*(c.ask(self._limit_seconds) for c in self._checks.values()))
        found = zip(self._checks, answers, strict=True)
        return {name: answer for name, answer in found if answer is not None}


class _Check:
    def __init__(self, probe: Callable[[], None], *, keep_seconds: float) -> None:
        self._probe = probe
        self._keep_seconds = keep_seconds
        self._running: asyncio.Task[str | None] | None = None
        self._passed_at = float("-inf")

    async def ask(self, limit_seconds: float) -> str | None:
        """Why it failed, or None."""
        if time.monotonic() - self._passed_at < self._keep_seconds:
            return None
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        try:
            async with asyncio.timeout(limit_seconds):
                # Who asks next must find the probe that hangs, and not send another after it.
                return await asyncio.shield(self._running)
        except TimeoutError:
            return f"no answer within {limit_seconds:g} s"

    async def _run(self) -> str | None:
        try:
            await asyncio.to_thread(self._probe)
        except ServiceError as error:
            _logger.warning("Not ready: %s", error)
            return str(error)
        except Exception:
            # Drivers of object stores raise what they like, and none of it means ready.
            _logger.exception("Not ready")
            return "an unexpected failure; the log says which"
        self._passed_at = time.monotonic()
        return None
