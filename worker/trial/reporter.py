"""A thread that hands in records and weights while training goes on undisturbed."""

import hashlib
import threading
import time
from collections.abc import Callable

from shrinknets.wire import AttemptEnd, Order, Record
from worker.errors import LeaseLostError, ServiceUnreachableError
from worker.service_client import AttemptLease
from worker.trial.exit_codes import ExitCode

GRACE_SECONDS = 15 * 60.0
"""How long a trial trains on without its service; the lease's client must be this patient."""

MAX_RECORDS = 5_000
"""In one post; the service takes twice as many."""

GiveUp = Callable[[ExitCode, str], None]


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
            self._changed.notify()

    def upload(self, content: bytes) -> str:
        """Hand in an artifact and return its name, its SHA-256; returns at once."""
        self._raise_refusal()
        sha256 = hashlib.sha256(content).hexdigest()
        with self._changed:
            self._uploads.append((sha256, content))
            self._changed.notify()
        return sha256

    def flush(self) -> None:
        """Hand in all artifacts; records that are left go with `end`."""
        self._join()
        self._raise_refusal()
        for sha256, content in self._uploads:
            self._lease.upload(sha256, content)
        self._uploads.clear()

    def end(self, end: AttemptEnd) -> None:
        """Hand in how the attempt ended together with the records that are left."""
        self._join()
        self._lease.end(end.model_copy(update={"records": self._records}))

    def _join(self) -> None:
        with self._changed:
            self._finishing = True
            self._changed.notify()
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
            with self._changed:
                uploads, self._uploads = self._uploads, []
                records = self._records[:MAX_RECORDS]
                del self._records[:MAX_RECORDS]
            for sha256, content in uploads:
                self._lease.upload(sha256, content)
            self._order = self._lease.post_records(records)

    def _wait_for_work(self, posted_at: float) -> bool:
        """Wait until something is to be sent; False when the rest is left to `flush`."""
        with self._changed:
            while not self._finishing:
                pending = bool(self._records or self._uploads)
                pause = self._post_seconds if pending else self._renew_seconds
                seconds_left = posted_at + pause - time.monotonic()
                if seconds_left <= 0:
                    return True
                self._changed.wait(seconds_left)
            return False
