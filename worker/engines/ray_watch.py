"""The thread that speaks with the head of a Ray cluster, and judges what it hears.

What Ray does not see any more, because its head is away or came back empty, may run on all the
same: it is judged by the lease of its attempt.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from worker.engines.base import AttemptExit
from worker.engines.output import last_lines
from worker.engines.ray_board import Attempt, Board, Phase
from worker.engines.ray_ends import End, end_of, never_ran
from worker.engines.ray_jobs import RayJob, RayJobs, RayStatus
from worker.engines.ray_logs import LogCopier
from worker.engines.ray_orphans import LAPSED_SECONDS, TELL_AGAIN_SECONDS, IsHeld, Orphans
from worker.errors import (
    EngineError,
    RayNotAllowedError,
    RayRefusedError,
    RayUnreachableError,
    ServiceError,
)

UNSEEN_SECONDS = 2.0
"""How often the lease of an attempt is looked at that Ray does not see."""
CLOSE_SECONDS = 15.0

_log = logging.getLogger(__name__)


class RayWatch:
    """Does what the board asks for, and writes on it what became of it."""

    def __init__(
        self,
        jobs: RayJobs,
        board: Board,
        orphans: Orphans,
        *,
        is_held: IsHeld,
        output_of: Callable[[str], Path],
        pending_seconds: float,
        poll_seconds: float,
    ) -> None:
        self._jobs = jobs
        self._board = board
        self._orphans = orphans
        self._is_held = is_held
        self._output_of = output_of
        self._pending_seconds = pending_seconds
        self._poll_seconds = poll_seconds
        self._logs = LogCopier(jobs)
        self._is_away: bool | None = None
        self._list_seconds = 0.0
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)

    def start(self) -> None:
        """Look once, then go on in the thread. Raises RayNotAllowedError."""
        try:
            self._look()
        except RayUnreachableError as error:
            self._lose_sight(error)
        except RayNotAllowedError:
            self._jobs.close()
            raise
        self._thread.start()

    def close(self) -> None:
        """Do what is still asked for, if the cluster answers, and end."""
        self._board.close()
        self._thread.join(timeout=CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._jobs.close()

    def _run(self) -> None:
        while True:
            is_last = self._board.is_closing
            try:
                self._obey()
                self._look()
                self._copy_logs()
            except (RayUnreachableError, RayNotAllowedError) as error:
                self._lose_sight(error)
            except Exception:  # noqa: BLE001  (our own bug must not end the only thread that looks)
                _log.exception("while looking after the Ray cluster")
            if is_last:
                return
            self._board.wait_for_orders(seconds=max(self._poll_seconds, self._list_seconds))

    def _obey(self) -> None:
        """Hand in what was started, stop what is to stop."""
        for attempt in self._board.attempts():
            if attempt.phase is Phase.NEW and attempt.is_to_stop:
                self._end(attempt, never_ran("it was stopped before it was submitted"))
            elif attempt.phase is Phase.NEW:
                self._submit(attempt)
            elif attempt.is_to_stop and _is_due(attempt.stopped_at, TELL_AGAIN_SECONDS):
                attempt.stopped_at = time.monotonic()
                self._jobs.stop(attempt.id)

    def _submit(self, attempt: Attempt) -> None:
        try:
            self._jobs.submit(attempt.submission)
        except RayRefusedError as error:
            self._end(attempt, End(exit_code=None, reason=str(error)))
            return
        except RayUnreachableError as error:
            if not error.may_have_worked:
                raise
            _log.warning("attempt %s: %s", attempt.id, error)
            attempt.phase = Phase.UNSURE
        else:
            attempt.phase = Phase.SUBMITTED
        attempt.submitted_at = time.monotonic()

    def _look(self) -> None:
        """Compare what the cluster lists with what should run there."""
        started = time.monotonic()
        listed = self._jobs.list()
        # A head with very many jobs of others must have time for other things too.
        self._list_seconds = 2 * (time.monotonic() - started)
        for attempt in self._board.attempts():
            if attempt.phase is not Phase.NEW:
                self._judge(attempt, listed.get(attempt.id))
        num_given_up = self._orphans.sweep(listed, known=self._board.ids())
        if self._is_away:
            _log.info("the Ray cluster at %s answers again", self._jobs.address)
        self._is_away = False
        self._board.set_seen(True, num_given_up=num_given_up)

    def _judge(self, attempt: Attempt, job: RayJob | None) -> None:
        if job is None:
            if attempt.phase is Phase.UNSURE:
                self._end(attempt, never_ran("the Ray cluster did not take it"))
            else:
                self._judge_by_lease(attempt, "the Ray cluster does not know it any more")
            return
        attempt.phase = Phase.SUBMITTED
        attempt.is_pending = job.status is RayStatus.PENDING
        attempt.node_id = job.node_id
        if job.status.is_final:
            self._conclude(attempt, job)
        elif attempt.is_pending:
            if attempt.seconds_pending > self._pending_seconds:
                self._give_up_waiting(attempt)
        else:
            # Ray may say so of a process that nobody has heard of for long.
            why = "the service has not heard of it"
            self._judge_by_lease(attempt, why, patience=LAPSED_SECONDS)

    def _give_up_waiting(self, attempt: Attempt) -> None:
        wanted = attempt.submission
        what = f"{wanted.cpus:g} CPU, {wanted.gpus:g} GPU" + "".join(
            f", {number:g} {name}" for name, number in wanted.resources.items()
        )
        reason = f"the Ray cluster had no room for it ({what}) within {self._pending_seconds:g} s"
        _log.warning("attempt %s: %s; its trial waits until there is", attempt.id, reason)
        # From now on it is an orphan, which is stopped; its token keeps it from doing harm.
        self._end(attempt, never_ran(reason), is_given_up=True)

    def _judge_by_lease(self, attempt: Attempt, why: str, *, patience: float = 0.0) -> None:
        """Give the attempt up if the service has: for so long as its lease lasts, it is alive."""
        if not _is_due(attempt.asked_at, max(UNSEEN_SECONDS, patience)):
            return
        attempt.asked_at = time.monotonic()
        try:
            is_held = self._is_held(attempt.id, attempt.token)
        except ServiceError:
            return
        if is_held:
            attempt.lapsed_at = None
            return
        attempt.lapsed_at = attempt.lapsed_at or time.monotonic()
        if _is_due(attempt.lapsed_at, patience):
            self._end(attempt, End(exit_code=None, reason=f"{why}, and its lease is over"))

    def _conclude(self, attempt: Attempt, job: RayJob) -> None:
        if job.node_id is not None:
            self._logs.copy(attempt.id, job.node_id, self._output_of(attempt.id))
        self._end(attempt, end_of(job, was_told_to_stop=attempt.is_to_stop))

    def _end(self, attempt: Attempt, end: End, *, is_given_up: bool = False) -> None:
        self._logs.forget(attempt.id)
        self._board.end(
            AttemptExit(
                attempt_id=attempt.id,
                reason=end.reason,
                exit_code=end.exit_code,
                last_lines=last_lines(self._output_of(attempt.id)),
                has_run=end.has_run,
            ),
            is_given_up=is_given_up,
        )

    def _copy_logs(self) -> None:
        """Some, until it is time to look again."""
        give_up_at = time.monotonic() + self._poll_seconds
        for attempt in self._board.attempts():
            if time.monotonic() > give_up_at or self._board.has_orders:
                return
            if attempt.node_id is not None and self._logs.is_due(attempt.id):
                self._logs.copy(attempt.id, attempt.node_id, self._output_of(attempt.id))

    def _lose_sight(self, error: EngineError) -> None:
        """The cluster does not answer; what was submitted may run on all the same."""
        if not self._is_away:
            _log.warning("%s; what runs there is judged by its lease until it does", error)
        self._is_away = True
        self._board.set_seen(False)
        for attempt in self._board.attempts():
            if attempt.phase is Phase.NEW:
                self._end(attempt, never_ran(str(error)))
            else:
                self._judge_by_lease(attempt, "the Ray cluster does not answer")


def _is_due(last: float | None, pause: float) -> bool:
    return last is None or time.monotonic() >= last + pause
