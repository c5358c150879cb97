"""Wakes those of this process who wait for something that was committed."""

import asyncio
import contextlib
from collections import deque
from weakref import WeakValueDictionary

from service.store import News


class Bell:
    """Rung from any thread, heard by coroutines of the loop that it was bound to."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next = asyncio.Event()
        self.queue = Turnstiles()
        self.rings = 0
        self.is_closed = False

    def bind(self) -> None:
        """From now on wake coroutines of the running loop."""
        self._loop = asyncio.get_running_loop()

    def ring(self, news: News = News.EVENTS) -> None:
        """Wake all who wait; safe from any thread, and harmless before and after serving."""
        if self._loop is not None and not self.is_closed:
            # The loop may close between the question and the call.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake, news)

    def close(self) -> None:
        """Wake all for the last time; streams end. To be called inside the loop."""
        self.is_closed = True
        self._wake(News.EVENTS)
        self.queue.close()

    async def wait_after(self, rings: int) -> None:
        """Return once the bell has rung more than `rings` times, or is closed."""
        while self.rings == rings and not self.is_closed:
            await self._next.wait()

    def _wake(self, news: News) -> None:
        self.rings += 1
        self._next.set()
        self._next = asyncio.Event()
        if news is News.QUEUE:
            self.queue.call()


class Turnstiles:
    """Those who wait for a job, by the network families that they can build.

    Whose job it is that was queued only the queue knows, so one of each kind tries. One of another
    kind would be called in vain, and the one who could take the job would wait on.
    """

    def __init__(self) -> None:
        # A kind is forgotten once nobody waits who is of it.
        self._kinds: WeakValueDictionary[frozenset[str], Turnstile] = WeakValueDictionary()
        self._is_closed = False

    def of(self, families: frozenset[str]) -> "Turnstile":
        """Where workers that can build these wait; to be kept for as long as one does."""
        return self._kinds.setdefault(families, Turnstile(is_closed=self._is_closed))

    def call(self) -> None:
        """Let one of each kind try."""
        for kind in list(self._kinds.values()):
            kind.call()

    def close(self) -> None:
        """Let all go, and all who come later."""
        self._is_closed = True
        for kind in list(self._kinds.values()):
            kind.close()


class Turnstile:
    """Lets those of a kind who wait for a job try one after the other, longest waiting first.

    One job wakes one of them. Who finds a job calls the next, as there may be more; who is called
    and does not try calls the next too.
    """

    def __init__(self, *, is_closed: bool = False) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_closed = is_closed
        self.calls = 0

    def call(self) -> None:
        """Let the next one try."""
        self.calls += 1
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def close(self) -> None:
        """Let all go."""
        self._is_closed = True
        for turn in self._waiting:
            if not turn.done():
                turn.set_result(None)

    async def wait_after(self, calls: int) -> None:
        """Return when it is one's turn; at once where somebody was called since `calls`."""
        if self.calls != calls or self._is_closed:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.call()
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise
