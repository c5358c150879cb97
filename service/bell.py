"""Wakes the event streams of this process when something was committed."""

import asyncio
import contextlib


class Bell:
    """Rung from any thread, heard by coroutines of the loop that it was bound to."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self.rings = 0
        self.is_closed = False

    def bind(self) -> None:
        """From now on wake coroutines of the running loop."""
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """Wake all who wait; safe from any thread, and harmless before and after serving."""
        if self._loop is not None and not self.is_closed:
            # The loop may close between the question and the call.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Wake all for the last time; streams end. To be called inside the loop."""
        self.is_closed = True
        self._wake()

    async def wait_after(self, rings: int) -> None:
        """Return once the bell has rung more than `rings` times, or is closed."""
        while self.rings == rings and not self.is_closed:
            await self._next.wait()

    def _wake(self) -> None:
        self.rings += 1
        self._next.set()
        self._next = asyncio.Event()
