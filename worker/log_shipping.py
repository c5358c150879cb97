"""A thread that hands in what the processes of attempts write, read from their output files.

The file is the spool: a process never waits for the service, and what it wrote before it was
killed is there.
"""

import logging
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from shrinknets.wire import MAX_LOG_TEXT, Attempt, LogBatch
from worker.cleaning import Cleaner
from worker.errors import LeaseLostError, ServiceError, ServiceUnreachableError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient

SHIP_SECONDS = 1.0
"""How often new lines of an attempt are handed in."""
READ_BYTES = 2**18
ROUND_BYTES = 2**20
"""Of one attempt before it is the turn of the others."""
BACKLOG_BYTES = 2**22
"""Of a process that is further ahead of us only the last part is read, one round's worth."""
CLOSE_SECONDS = 2.0
"""How long the last lines are tried for when the job is let go."""

_log = logging.getLogger(__name__)


@dataclass
class _Followed:
    """One attempt's output: how far it was read, and what was read but not yet handed in."""

    lease: AttemptLease
    file: Path
    secrets: tuple[str, ...]
    cleaner: Cleaner
    offset: int = 0
    """In cleaned bytes that were handed in; those that were left out count too."""
    position: int = 0
    """In the file."""
    text: str = ""
    last_words: str | None = None
    """What is still to be said of the end of the process; None while it runs."""
    keeps_file: bool = True

    @property
    def is_gone(self) -> bool:
        return self.last_words is not None

    def read_on(self) -> bool:
        """Read the next part, unless the last one still waits; False where there is nothing."""
        if self.text:
            return True
        content = self._read()
        self.text = self.cleaner.feed(content)
        return bool(content) or (self.is_gone and self._end())

    def post(self) -> None:
        """Hand in what was read; what could not be handed in stays."""
        while self.text:
            part = self.text[:MAX_LOG_TEXT]
            self.lease.post_lines(LogBatch(offset=self.offset, text=part))
            self.offset += len(part.encode())
            self.text = self.text[len(part) :]

    def _read(self) -> bytes:
        try:
            with self.file.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                # The beginning is always handed in: there a reader looks first.
                if ROUND_BYTES <= self.position < size - BACKLOG_BYTES:
                    return self._skip_to(file, size - ROUND_BYTES)
                file.seek(self.position)
                content = file.read(READ_BYTES)
        except FileNotFoundError:
            return b""
        self.position += len(content)
        return content

    def _skip_to(self, file: IO[bytes], place: int) -> bytes:
        # From the next line on: half a secret would not be known for one.
        file.seek(place)
        place += len(file.readline(READ_BYTES))
        content = file.read(READ_BYTES)
        self.offset += place - self.position
        self.position = place + len(content)
        self.cleaner = Cleaner(secrets=self.secrets)
        return content

    def _end(self) -> bool:
        rest = self.cleaner.feed(b"", is_last=True)
        words, self.last_words = self.last_words, ""
        if words:
            rest += ("\n" if rest and not rest.endswith("\n") else "") + f"[{words}]\n"
        self.text = rest
        return bool(rest)


class LogShipper:
    """Follows the output of attempts; one thread for all of them."""

    def __init__(
        self, url: str, *, secrets: Iterable[str] = (), ship_seconds: float = SHIP_SECONDS
    ) -> None:
        """`secrets` are blotted out, as the token of each attempt is."""
        # One try at a time: the file keeps all that was not handed in.
        self._client = ServiceClient(url, patience=Patience(seconds=0))
        self._secrets = tuple(secrets)
        self._ship_seconds = ship_seconds
        self._followed: dict[str, _Followed] = {}
        self._changed = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
        self._thread.start()

    def follow(self, attempt: Attempt, file: Path) -> None:
        """From now on hand in what is appended to the file."""
        secrets = (attempt.token, *self._secrets)
        followed = _Followed(
            lease=AttemptLease(self._client, attempt.id, attempt.token),
            file=file,
            secrets=secrets,
            cleaner=Cleaner(secrets=secrets),
        )
        with self._changed:
            self._followed[attempt.id] = followed

    def finish(self, attempt_id: str, *, last_words: str, keeps_file: bool) -> None:
        """The process is gone: hand in the rest, then `last_words`, and let go of the file."""
        with self._changed:
            if (followed := self._followed.get(attempt_id)) is not None:
                followed.keeps_file = keeps_file
                followed.last_words = last_words
                self._changed.notify()

    def close(self) -> None:
        """Hand in all that is left, of processes that must be gone by now."""
        with self._changed:
            for followed in self._followed.values():
                followed.last_words = followed.last_words or ""
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._client.close()
        if self._followed:
            _log.warning("the last lines of %d trials were not handed in", len(self._followed))

    def _run(self) -> None:
        while not self._is_closing:
            done = self._ship_all()
            with self._changed:
                if not (done or self._is_closing):
                    self._changed.wait(self._ship_seconds)
        give_up_at = time.monotonic() + CLOSE_SECONDS
        while self._followed and time.monotonic() < give_up_at:
            if not self._ship_all():
                time.sleep(0.1)

    def _ship_all(self) -> list[str]:
        """One round; returns the attempts of which nothing more will come."""
        with self._changed:
            current = dict(self._followed)
        done = [attempt_id for attempt_id, followed in current.items() if _ship(followed)]
        with self._changed:
            for attempt_id in done:
                del self._followed[attempt_id]
        return done


def _ship(followed: _Followed) -> bool:
    """Hand in what is new; returns whether nothing more will come."""
    # Looked at before reading: what a process writes last is there when its end is told.
    is_over = followed.is_gone
    most = followed.position + ROUND_BYTES
    try:
        while (is_over or followed.position < most) and followed.read_on():
            followed.post()
    except ServiceUnreachableError:
        return False
    except LeaseLostError:
        is_over = True
    except ServiceError as error:
        _log.warning("attempt %s: its log is left alone: %s", followed.lease.attempt_id, error)
        is_over = True
    if is_over and followed.is_gone and not followed.keeps_file:
        followed.file.unlink(missing_ok=True)
    return is_over
