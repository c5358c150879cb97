"""A thread that hands in records and weights while training goes on undisturbed."""

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from shrinknets.wire import AttemptEnd, Order, Record
from worker.errors import LeaseLostError, ServiceUnreachableError, StorageFullError
from worker.leases import AttemptLease
from worker.trial.exit_codes import ExitCode

GRACE_SECONDS = 15 * 60.0
"""How long a trial trains on without its service; the lease's client must be this patient."""

MAX_RECORDS = 5_000
"""In one post; the service takes twice as many."""

FULL_SECONDS = 10.0
"""How soon a file is tried again for which the service had no room."""

_log = logging.getLogger(__name__)

GiveUp = Callable[[ExitCode, str], None]


@dataclass(frozen=True)
class Mark:
    """How much had been given to a reporter at some time."""

    records: int
    uploads: int


class Reporter:
    """Spools records in memory and posts them in batches; each post renews the lease.

    `give_up` is called from the thread when the trial may not or cannot report any more: it must
    end the process.
    """

    def __init__(
        self,
        lease: AttemptLease,
        *,
        give_up: GiveUp,
        post_seconds: float = 0.5,
        renew_seconds: float = 2.0,
    ) -> None:
        self._lease = lease
        self._give_up = give_up
        self._post_seconds = post_seconds
        self._renew_seconds = renew_seconds
        self._records: list[Record] = []
        self._uploads: list[tuple[str, bytes]] = []
        self._given = self._sent = Mark(0, 0)
        self._uploads_from = 0.0
        self._is_urgent = False
        self._finishing = False
        self._refusal: Exception | None = None
        self._order = Order.CONTINUE
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    @property
    def order(self) -> Order:
        """What the service last answered."""
        return self._order

    def report(self, record: Record) -> None:
        """Hand in an epoch; returns at once. Raises what an earlier post raised."""
        self._raise_refusal()
        with self._changed:
            self._records.append(record)
            self._given = Mark(self._given.records + 1, self._given.uploads)
            self._changed.notify()

    def upload(self, content: bytes) -> str:
        """Hand in an artifact and return its name, its SHA-256; returns at once."""
        self._raise_refusal()
        sha256 = hashlib.sha256(content).hexdigest()
        with self._changed:
            self._uploads.append((sha256, content))
            self._given = Mark(self._given.records, self._given.uploads + 1)
            self._changed.notify()
        return sha256

    def mark(self) -> Mark:
        """What has been given so far, to wait for."""
        return self._given

    def wait_until_sent(self, mark: Mark, *, seconds: float) -> bool:
        """Wait until all is handed in that had been given by then; False where it was not."""

        def is_sent() -> bool:
            sent = self._sent
            return sent.records >= mark.records and sent.uploads >= mark.uploads

        with self._changed:
            self._is_urgent = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: is_sent() or self._is_over, timeout=seconds)
            return is_sent()

    @property
    def _is_over(self) -> bool:
        return self._finishing or self._refusal is not None

    def flush(self) -> None:
        """Hand in all artifacts; records that are left go with `end`.

        Where the service has no room for one, it is tried again for the grace time.
        """
        self._join()
        self._raise_refusal()
        give_up_at = time.monotonic() + GRACE_SECONDS
        while self._uploads:
            try:
                self._upload_next()
            except StorageFullError as error:
                if time.monotonic() > give_up_at:
                    raise
                _log.warning("%s is tried again: %s", self._uploads[0][0], error)
                self._wait_for_room()

    def end(self, end: AttemptEnd) -> None:
        """Hand in how the attempt ended together with the records that are left."""
        self._join()
        self._lease.end(end.model_copy(update={"records": self._records}))

    def _join(self) -> None:
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        self._thread.join()

    def _raise_refusal(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _run(self) -> None:
        try:
            self._post_until_finishing()
        except LeaseLostError as error:
            self._give_up(ExitCode.LEASE_LOST, str(error))
        except ServiceUnreachableError as error:
            self._give_up(ExitCode.SERVICE_AWAY, str(error))
        except Exception as error:  # noqa: BLE001  (raised again in the thread that trains)
            self._refusal = error

    def _post_until_finishing(self) -> None:
        posted_at = time.monotonic() - self._post_seconds  # the first record goes out at once
        while self._wait_for_work(posted_at):
            posted_at = time.monotonic()
            self._upload_all()
            with self._changed:
                records = self._records[:MAX_RECORDS]
                del self._records[:MAX_RECORDS]
            self._order = self._lease.post_records(records)
            with self._changed:
                self._sent = Mark(self._sent.records + len(records), self._sent.uploads)
                self._changed.notify_all()

    def _upload_all(self) -> None:
        """Hand in what may go now; without room for it training and reporting go on."""
        try:
            while self._uploads and time.monotonic() >= self._uploads_from:
                self._upload_next()
        except StorageFullError as error:
            _log.warning("a file was not kept, training goes on and it is tried again: %s", error)
            self._uploads_from = time.monotonic() + FULL_SECONDS

    def _upload_next(self) -> None:
        sha256, content = self._uploads[0]
        self._lease.upload(sha256, content)
        with self._changed:
            del self._uploads[0]
            self._sent = Mark(self._sent.records, self._sent.uploads + 1)
            self._changed.notify_all()

    def _wait_for_room(self) -> None:
        """Wait a while, and keep the lease meanwhile."""
        until = time.monotonic() + FULL_SECONDS
        while time.monotonic() < until:
            time.sleep(self._renew_seconds)
            self._lease.post_records([])

    def _wait_for_work(self, posted_at: float) -> bool:
        """Wait until something is to be sent; False when the rest is left to `flush`."""
        with self._changed:
            while not self._finishing:
                may_upload = bool(self._uploads) and time.monotonic() >= self._uploads_from
                pending = bool(self._records) or may_upload
                if pending and self._is_urgent:
                    self._is_urgent = False
                    return True
                pause = self._post_seconds if pending else self._renew_seconds
                seconds_left = posted_at + pause - time.monotonic()
                if seconds_left <= 0:
                    return True
                self._changed.wait(seconds_left)
            return False
