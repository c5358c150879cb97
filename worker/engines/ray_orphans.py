"""Stops jobs on a Ray cluster that no attempt belongs to any more, and has Ray forget them."""

import logging
import time
from collections.abc import Callable, Collection, Mapping

from worker.engines.ray_jobs import RayJob, RayJobs, RayStatus
from worker.errors import EngineError, RayUnreachableError, ServiceError

IsHeld = Callable[[str, str], bool]
"""Whether the service still takes reports of the attempt with this id and token."""

SWEEP_SECONDS = 15.0
"""How often jobs of other engines are looked at."""
TELL_AGAIN_SECONDS = 5.0
TELL_PENDING_AGAIN_SECONDS = 60.0
"""Ray keeps the order until the job starts; in the first moments of a job it may get lost."""
LAPSED_SECONDS = 10.0
"""A process whose attempt is over has this long to end by itself."""
DELETE_SECONDS = 30.0
"""What is deleted sooner after its end, Ray's monitor of the job writes anew, without metadata."""
FORGET_SECONDS = 600.0
"""The worker that submitted a job may still want to read how it ended."""

_log = logging.getLogger(__name__)


class Orphans:
    """Knows which jobs are nobody's; belongs to one thread.

    Those of this engine are whatever it does not know. Those of other engines, which serve the same
    service, are judged by the lease of their attempt: their worker may have been killed.
    """

    def __init__(self, jobs: RayJobs, *, engine_id: str, service_url: str, is_held: IsHeld) -> None:
        self._jobs = jobs
        self._engine_id = engine_id
        self._service_url = service_url
        self._is_held = is_held
        self._lapsed_since: dict[str, float] = {}
        self._told_at: dict[str, float] = {}
        self._ended_at: dict[str, float] = {}
        self._sweep_at = 0.0

    def sweep(self, listed: Mapping[str, RayJob], *, known: Collection[str]) -> int:
        """Returns how many jobs that this engine gave up still wait inside Ray."""
        own = [
            job for job in listed.values() if job.engine == self._engine_id and job.id not in known
        ]
        for job in own:
            self._remove(job)
        if time.monotonic() >= self._sweep_at:
            self._sweep_others(listed)
            self._sweep_at = time.monotonic() + SWEEP_SECONDS
        for memory in (self._lapsed_since, self._told_at, self._ended_at):
            for job_id in memory.keys() - listed.keys():
                del memory[job_id]
        return sum(job.status is RayStatus.PENDING for job in own)

    def _sweep_others(self, listed: Mapping[str, RayJob]) -> None:
        for job in listed.values():
            if job.engine == self._engine_id or job.service != self._service_url:
                continue
            lapsed = self._seconds_since_lapse(job)
            if lapsed >= (FORGET_SECONDS if job.status.is_final else LAPSED_SECONDS):
                self._remove(job)

    def _seconds_since_lapse(self, job: RayJob) -> float:
        if job.id not in self._lapsed_since:
            try:
                is_held = self._is_held(job.id, job.token)
            except ServiceError:
                is_held = True
            if is_held:
                return 0.0
            # A lease that was lost never comes back.
            self._lapsed_since[job.id] = time.monotonic()
        return time.monotonic() - self._lapsed_since[job.id]

    def _remove(self, job: RayJob) -> None:
        if not self._is_due(job):
            return
        try:
            if job.status.is_final:
                self._jobs.delete(job.id)
            else:
                if job.id not in self._told_at:
                    _log.info("attempt %s is nobody's any more: stopping it on Ray", job.id)
                self._jobs.stop(job.id)
        except RayUnreachableError as error:
            if not error.may_have_worked:
                raise
        except EngineError as error:
            _log.warning("%s", error)
        self._told_at[job.id] = time.monotonic()

    def _is_due(self, job: RayJob) -> bool:
        now = time.monotonic()
        if job.status.is_final and now < self._ended_at.setdefault(job.id, now) + DELETE_SECONDS:
            return False
        is_pending = job.status is RayStatus.PENDING
        pause = TELL_PENDING_AGAIN_SECONDS if is_pending else TELL_AGAIN_SECONDS
        told_at = self._told_at.get(job.id)
        return told_at is None or now >= told_at + pause
