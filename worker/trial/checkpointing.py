"""A thread that hands checkpoints in; training never waits for it, and never fails for it."""

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shrinknets.wire import NetworkResult, NewCheckpoint
from shrinknets_core import Checkpoint, Run
from worker.errors import LeaseLostError, ServiceError
from worker.leases import AttemptLease
from worker.patience import Patience
from worker.service_client import ServiceClient
from worker.trial.reporter import Mark, Reporter

UPLOAD_SECONDS = 300.0
"""How long the service may take to store one."""
FINISH_SECONDS = 60.0
"""How long a process that is told to end waits for its last one; an engine waits less."""

CLOSE_SECONDS = 10.0
"""How long the end of a trial waits for one on its way: what was named goes with the trial."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Taken:
    checkpoint: Checkpoint
    files: list[str]
    mark: Mark


class Checkpointer:
    """Takes a run as it is between two epochs, and hands that in while the run goes on.

    Only one is under way at a time: where handing in takes longer than the interval, there are
    fewer.
    """

    def __init__(self, lease: AttemptLease, reporter: Reporter, *, every_seconds: float) -> None:
        self._attempt_id = lease.attempt_id
        self._reporter = reporter
        self._every_seconds = every_seconds
        # One try each: the next checkpoint comes soon, and the reporter has the patience.
        self._client = ServiceClient(
            lease.client.url, patience=Patience(seconds=0), timeout_seconds=UPLOAD_SECONDS
        )
        self._lease = AttemptLease(self._client, lease.attempt_id, lease.token)
        self._taken: _Taken | None = None
        self._taken_at = time.monotonic()
        self._is_closing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="checkpointer", daemon=True).start()

    def take_when_due(self, run: Run, results: Sequence[NetworkResult]) -> None:
        """Take a checkpoint if it is time for one; returns as soon as tensors are copied.

        The records and networks so far must have been given to the reporter.
        """
        is_due = time.monotonic() - self._taken_at >= self._every_seconds
        if is_due and self._taken is None:
            self._take(run, results)

    def finish(self, run: Run, results: Sequence[NetworkResult]) -> None:
        """Take a last checkpoint, and wait until it was handed in or could not be."""
        self._wait()
        self._take(run, results)
        self._wait()

    def close(self) -> None:
        """Begin no further upload, and let one that is under way come to its end."""
        self._is_closing = True
        self._wait(CLOSE_SECONDS)

    def _take(self, run: Run, results: Sequence[NetworkResult]) -> None:
        # Named after the attempt, so that no two processes make the same file.
        networks = [result.model_dump(mode="json") for result in results]
        checkpoint = Checkpoint.of(run, attempt=self._attempt_id, networks=networks)
        files = [result.weights_sha256 for result in results]
        with self._changed:
            self._taken_at = time.monotonic()
            self._taken = _Taken(checkpoint, files, self._reporter.mark())
            self._changed.notify_all()

    def _wait(self, seconds: float = FINISH_SECONDS) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._taken is None, timeout=seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                while (taken := self._taken) is None:
                    self._changed.wait()
            try:
                self._hand_in(taken)
            except LeaseLostError:
                pass  # the reporter hears of it too, and ends the process
            except Exception as error:  # noqa: BLE001  (whatever it is, training goes on)
                what = error if isinstance(error, ServiceError) else repr(error)
                _log.warning(
                    "the checkpoint of epoch %d was not kept, training goes on: %s",
                    *(taken.checkpoint.step, what),
                )
            with self._changed:
                self._taken = None
                self._changed.notify_all()

    def _hand_in(self, taken: _Taken) -> None:
        content = taken.checkpoint.to_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        if self._is_closing:
            return
        self._lease.upload(sha256, content)
        # Who goes on from it reports no earlier epoch again, so all of them must be in by then.
        if self._reporter.wait_until_sent(taken.mark, seconds=FINISH_SECONDS):
            step = taken.checkpoint.step
            self._lease.add_checkpoint(NewCheckpoint(step=step, sha256=sha256, files=taken.files))
