"""The states of jobs, trials and attempts, and the orders that a lease holder gets."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands; it has ended with `succeeded`, `failed` or `cancelled`.

    Only a retry of failed trials puts an ended job back into the queue.
    """

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class TrialState(StrEnum):
    """Where a trial stands; it has ended unless it is `waiting` or `running`."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"
    INFEASIBLE = "infeasible"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return self not in {TrialState.WAITING, TrialState.RUNNING}


class AttemptState(StrEnum):
    """Where one process that works on a trial stands."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class Order(StrEnum):
    """What the service tells the holder of a lease each time it renews."""

    CONTINUE = "continue"
    PAUSE = "pause"
    """Give the trial, or the job, back: it will go on later."""
    STOP = "stop"
    PRUNE = "prune"
    """End the trial early, as `pruned`: it promises less than others, or the budget is used up."""


class Method(StrEnum):
    """How sizes are found; the last two train once more what the others found."""

    SHRINKNETS = "shrinknets"
    PATH = "path"
    FIXED = "fixed"
    FIXED_L2 = "fixed_l2"
    RETRAIN = "retrain"
    """The chosen network's widths, from scratch."""
    FINE_TUNE = "fine_tune"
    """The chosen network, trained on."""

    @property
    def is_search(self) -> bool:
        """Whether its trials look for sizes, before the choice."""
        return self not in {Method.RETRAIN, Method.FINE_TUNE}


class Phase(StrEnum):
    """What a trial does in an epoch."""

    TRAIN = "train"
    WARMUP = "warmup"
    SHRINK = "shrink"
    POLISH = "polish"
