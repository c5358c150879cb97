"""How a training that went wrong ends its attempt: what is told, and with which exit code."""

import time
import traceback

import torch

from shrinknets.wire import AttemptEnd, TrialAssignment, TrialState
from worker.errors import TimeLimitError
from worker.trial.exit_codes import ExitCode

_LAST_LINES = 8
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "out of memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""In errors of torch that have no class of their own."""


class TimeLimit:
    """The seconds that a trial may take, of which its earlier attempts have used some."""

    def __init__(self, seconds: float, *, used: float) -> None:
        self.seconds = seconds
        self._ends_at = time.monotonic() + seconds - used

    def check(self) -> None:
        """Raises TimeLimitError when it is over."""
        if time.monotonic() > self._ends_at:
            raise TimeLimitError(self.seconds)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the device or of the machine, ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)


def ending_of(
    error: Exception, assignment: TrialAssignment, *, micro_batches: int
) -> tuple[AttemptEnd, ExitCode]:
    """How the attempt ends; one that ran out of memory for the first time gives its trial back."""
    if isinstance(error, TimeLimitError):
        return AttemptEnd(state=TrialState.FAILED, reason=str(error)), ExitCode.ENDED
    if not is_out_of_memory(error):
        return AttemptEnd(state=TrialState.FAILED, reason=_in_words(error)), ExitCode.ENDED
    batch = assignment.spec.training.batch_size
    if micro_batches == 1:
        reason = f"memory ran out with batches of {batch}: another attempt takes half at a time"
        return AttemptEnd(state=TrialState.WAITING, reason=reason), ExitCode.OUT_OF_MEMORY
    reason = (
        f"memory ran out with batches of {batch}, and again with {micro_batches} parts of each one "
        "after the other: lower training.batch_size or the widths, or give the worker fewer slots\n"
    )
    return AttemptEnd(state=TrialState.FAILED, reason=reason + _in_words(error)), ExitCode.ENDED


def note_on(micro_batches: int) -> str:
    """The reason of a trial that came to a good end all the same."""
    if micro_batches == 1:
        return ""
    return f"memory ran out at first: each batch was trained in {micro_batches} parts"


def time_limit(assignment: TrialAssignment) -> TimeLimit | None:
    """What the job says about the trial's time, which runs from now."""
    seconds = assignment.spec.trial_seconds
    return None if seconds is None else TimeLimit(seconds, used=assignment.trial.train_seconds)


def _in_words(error: Exception) -> str:
    """The error itself first, for those who read one line, then where it came from."""
    last = traceback.format_exc().strip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"{type(error).__name__}: {error}", *last])
