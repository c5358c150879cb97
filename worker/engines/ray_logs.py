"""Copies the logs of jobs on a Ray cluster to files here, a little at a time."""

import logging
import time
from dataclasses import dataclass
from pathlib import Path

from worker.engines.ray_jobs import RayJobs
from worker.errors import EngineError, RayNotAllowedError, RayUnreachableError

COPY_SECONDS = 2.0
"""So often at most a log is asked for."""
RETRY_SECONDS = 15.0
BYTES_PER_SECOND = 2**18
"""Ray sends a log from its beginning each time, so a longer one is asked for more seldom."""
MAX_BYTES = 2**26
"""Of a longer log the rest stays on the cluster."""
LEFT_OUT = b"\n[the log is longer: the rest is on the Ray cluster]\n"

_log = logging.getLogger(__name__)


@dataclass
class _Copied:
    size: int = 0
    """In bytes that were appended to the file here."""
    due_at: float = 0.0
    is_full: bool = False


class LogCopier:
    """Appends to a file per job what came to its log; belongs to one thread."""

    def __init__(self, jobs: RayJobs) -> None:
        self._jobs = jobs
        self._copied: dict[str, _Copied] = {}

    def is_due(self, job_id: str) -> bool:
        return self._known(job_id).due_at <= time.monotonic()

    def copy(self, job_id: str, node_id: str, file: Path) -> None:
        """Append what is new; where it cannot be had, say so and leave it.

        Raises RayUnreachableError where the cluster does not answer at all, RayNotAllowedError.
        """
        copied = self._known(job_id)
        if copied.is_full:
            return
        pause = COPY_SECONDS
        try:
            self._append(copied, job_id, node_id, file)
        except RayNotAllowedError:
            raise
        except EngineError as error:
            if isinstance(error, RayUnreachableError) and not error.may_have_worked:
                raise
            # Its node may be gone; what was read before stays. Each try may take long.
            pause = RETRY_SECONDS
            _log.debug("the log of %s cannot be read: %s", job_id, error)
        copied.due_at = time.monotonic() + max(pause, copied.size / BYTES_PER_SECOND)

    def forget(self, job_id: str) -> None:
        self._copied.pop(job_id, None)

    def _known(self, job_id: str) -> _Copied:
        return self._copied.setdefault(job_id, _Copied())

    def _append(self, copied: _Copied, job_id: str, node_id: str, file: Path) -> None:
        read = 0
        with file.open("ab") as target:
            for chunk in self._jobs.read_log(job_id, node_id):
                new = chunk[max(0, copied.size - read) :]
                read += len(chunk)
                if new:
                    target.write(new)
                    copied.size += len(new)
                if copied.size >= MAX_BYTES:
                    target.write(LEFT_OUT)
                    copied.is_full = True
                    return
