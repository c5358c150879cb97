"""Serves workers that ask for a job at the same moment by one transaction."""

import threading
from collections import deque
from dataclasses import dataclass, field

from service.store import Store, claims, workers
from shrinknets.wire import Claim, ClaimRequest

MAX_TOGETHER = 64


@dataclass
class _Asking:
    """One worker's question, and the answer once it is there."""

    asked: ClaimRequest
    turn: threading.Event = field(default_factory=threading.Event)
    is_served: bool = False
    claim: Claim | None = None
    error: BaseException | None = None


class ClaimDesk:
    """Where workers get their jobs; to be asked from any number of threads.

    One of those who ask serves all that wait. Transactions of their own would wait for one another
    anyhow, as each has something to tell (see `store.announcing`), and cost far more together.
    """

    def __init__(self, store: Store, *, lease_seconds: float) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._lock = threading.Lock()
        self._waiting: deque[_Asking] = deque()
        self._is_served = False

    def claim(self, asked: ClaimRequest) -> Claim | None:
        """The next job that a worker can run, None where there is none. Raises UnavailableError."""
        mine = _Asking(asked)
        with self._lock:
            self._waiting.append(mine)
            leads, self._is_served = not self._is_served, True
        if not leads:
            mine.turn.wait()
        if not mine.is_served:
            self._serve()
        if mine.error is not None:
            raise mine.error
        return mine.claim

    def _serve(self) -> None:
        with self._lock:
            together = [
                self._waiting.popleft() for _ in range(min(MAX_TOGETHER, len(self._waiting)))
            ]
        try:
            self._answer(together)
        finally:
            self._pass_on(together)

    def _answer(self, together: list[_Asking]) -> None:
        try:
            given = self._claim([one.asked for one in together])
        except BaseException as error:
            for one in together:
                one.error = error
            raise
        for one, claim in zip(together, given, strict=True):
            one.claim = claim

    def _claim(self, asked: list[ClaimRequest]) -> list[Claim | None]:
        with self._store.writing() as tx:
            given = claims.claim_jobs(tx, asked, lease_seconds=self._lease_seconds)
            workers.introduce(tx, asked)
            return given

    def _pass_on(self, together: list[_Asking]) -> None:
        for one in together:
            one.is_served = True
            one.turn.set()
        with self._lock:
            if self._waiting:
                # Who waits longest leads next, lest one thread serve others for ever.
                self._waiting[0].turn.set()
            else:
                self._is_served = False
