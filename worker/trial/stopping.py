"""Turns SIGTERM into a wish that training hears after its epoch."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self


class Termination:
    """Within the block, the first SIGTERM is noted, and a second one ends the process at once.

    The process must come to its next epoch in time; whoever sent the signal follows it up with
    SIGKILL. Outside of the main thread nothing changes.
    """

    def __init__(self) -> None:
        self.is_wished = False
        self._before: Any = signal.SIG_DFL
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._is_main:
            self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._is_main:
            signal.signal(signal.SIGTERM, self._before)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.is_wished = True
        signal.signal(number, signal.SIG_DFL)
