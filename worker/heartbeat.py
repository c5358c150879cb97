"""Keeps a job's lease alive while its driver computes for longer than the lease lasts."""

import contextlib
import threading
from collections.abc import Iterator

from worker.errors import WorkerError
from worker.leases import JobLease


@contextlib.contextmanager
def renewing(lease: JobLease, *, every_seconds: float) -> Iterator[None]:
    """Renew the lease from a thread while the block runs.

    What the service answers is left to the next renewal of the driver itself, which is not far.
    """
    done = threading.Event()

    def renew() -> None:
        while not done.wait(every_seconds):
            try:
                lease.renew()
            except WorkerError:
                return

    thread = threading.Thread(target=renew, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
