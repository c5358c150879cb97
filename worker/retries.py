"""The one table of retries: what becomes of a trial whose process is gone."""

import signal
from collections import Counter
from enum import StrEnum

from worker.trial.exit_codes import ExitCode

MAX_LOSSES = 3
"""So often a trial may lose its process before that is held against it."""
_LOST = frozenset({ExitCode.LEASE_LOST, ExitCode.SERVICE_AWAY, None})
"""Exit codes that say nothing of the trial; None is that of a process that the engine lost."""
_KILLS = frozenset({signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""What people and kernels end processes with; other signals are a process's own crash."""


class Verdict(StrEnum):
    """What is to be done with the trial."""

    AGAIN = "again"
    """From its last checkpoint, as it was."""
    AGAIN_IN_PARTS = "again in parts"
    """With half of each batch at a time."""
    FAILED = "failed"


class Retries:
    """Remembers what the trials of a job have been through, and judges by that."""

    def __init__(self) -> None:
        self._losses: Counter[str] = Counter()
        self._in_parts: set[str] = set()

    def judge(
        self, trial_id: str, exit_code: int | None, *, gave_back: bool, has_run: bool = True
    ) -> Verdict:
        """Count the end of an attempt and say what follows.

        `gave_back`: the process itself let the trial wait for another attempt. The table:

        given back in order, as for a pause       again
        never started, as nothing had room        again
        lease lost, service away, process lost
        or killed by SIGKILL, SIGTERM and such    again, three times
        out of memory                             again with half of each batch at a time, once
        any other crash                           failed

        An error in the training does not come here: such a process fails its trial itself.
        """
        if not has_run:
            return Verdict.AGAIN
        if exit_code == ExitCode.OUT_OF_MEMORY:
            if trial_id in self._in_parts:
                return Verdict.FAILED
            self._in_parts.add(trial_id)
            return Verdict.AGAIN_IN_PARTS
        if exit_code == ExitCode.ENDED and gave_back:
            return Verdict.AGAIN
        if exit_code in _LOST or (exit_code is not None and -exit_code in _KILLS):
            self._losses[trial_id] += 1
            return Verdict.AGAIN if self._losses[trial_id] <= MAX_LOSSES else Verdict.FAILED
        return Verdict.FAILED

    def micro_batches(self, trial_id: str) -> int:
        """In how many parts the trial's batches are to be trained."""
        return 2 if trial_id in self._in_parts else 1
