"""Workers that wait for a job: woken when one is queued, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from service.access import Identity
from service.bell import Turnstile
from service.services import Services
from shrinknets.wire import Claim, ClaimRequest


@dataclass(frozen=True)
class Waiting:
    """One worker's wait; it holds neither a thread nor a transaction."""

    services: Services
    caller: Identity
    is_gone: Callable[[], Awaitable[bool]]

    async def claim(self, asked: ClaimRequest) -> Claim | None:
        """The job that the worker gets; None where none came in time."""
        queue = self.services.bell.queue.of(asked.buildable)
        deadline = asyncio.get_running_loop().time() + asked.wait_seconds
        # Looked at before trying, so that no call between trying and waiting is missed.
        calls = queue.calls
        claimed = await self._try(asked)
        while claimed is None and await self._is_called(queue, calls, deadline):
            calls = queue.calls
            if await self._is_still_wanted():
                claimed = await self._try(asked)
            else:
                # The job that the call was for is another's.
                queue.call()
                return None
        if claimed is not None and asked.wait_seconds:
            queue.call()
        return claimed

    async def _is_called(self, queue: Turnstile, calls: int, deadline: float) -> bool:
        try:
            async with asyncio.timeout_at(deadline):
                await queue.wait_after(calls)
        except TimeoutError:
            return False
        return not self.services.bell.is_closed

    async def _is_still_wanted(self) -> bool:
        # A job given to who left would wait for its lease to run out.
        return not await self.is_gone() and await self.services.access.is_still(self.caller)

    async def _try(self, asked: ClaimRequest) -> Claim | None:
        return await run_in_threadpool(self.services.desk.claim, asked)
