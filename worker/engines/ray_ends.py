"""What the end of a job on a Ray cluster says about its attempt."""

import signal
from dataclasses import dataclass

from worker.engines.ray_jobs import RayJob, RayStatus

_NEVER_STARTED = frozenset(
    {"JOB_SUPERVISOR_ACTOR_START_TIMEOUT", "JOB_SUPERVISOR_ACTOR_UNSCHEDULABLE"}
)
_MAX_WORDS = 500


@dataclass(frozen=True, kw_only=True)
class End:
    """How an attempt ended, as far as Ray knows."""

    exit_code: int | None
    """None where nobody saw the command end: its node is gone, or the process that watched it."""
    reason: str
    has_run: bool = True


def end_of(job: RayJob, *, was_told_to_stop: bool) -> End:
    """What became of a job that ended."""
    match job.status:
        case RayStatus.SUCCEEDED:
            return End(exit_code=0, reason=_in_words(0))
        case RayStatus.STOPPED if was_told_to_stop:
            return End(exit_code=-signal.SIGTERM, reason="it was stopped")
        case RayStatus.STOPPED:
            return End(exit_code=None, reason="somebody else stopped it on the Ray cluster")
        case RayStatus.FAILED if job.exit_code is not None:
            return End(exit_code=job.exit_code, reason=_in_words(job.exit_code))
        case _:
            has_run = job.error_type not in _NEVER_STARTED
            said = job.message.strip()[:_MAX_WORDS] or "no reason was given"
            return End(exit_code=None, reason=f"the Ray cluster lost it: {said}", has_run=has_run)


def never_ran(reason: str) -> End:
    """Nothing was started, so this says nothing of the trial."""
    return End(exit_code=None, reason=reason, has_run=False)


def _in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"its process ended with exit code {exit_code}"
    known = {number.value: number.name for number in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")
    hint = ", perhaps because memory ran out" if -exit_code == signal.SIGKILL else ""
    return f"its process was killed by {name}{hint}"
