"""The states of jobs, trials and attempts, and the orders that a lease holder gets."""

from enum import StrEnum


class JobState(StrEnum):
    """Where a job stands; `succeeded`, `failed` and `cancelled` are for ever."""

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
    """Where a trial stands; `waiting` and `running` are the only states that it can leave."""

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
    STOP = "stop"


class Method(StrEnum):
    """How sizes are found."""

    SHRINKNETS = "shrinknets"
    PATH = "path"
    FIXED = "fixed"
    FIXED_L2 = "fixed_l2"


class Phase(StrEnum):
    """What a trial does in an epoch."""

    TRAIN = "train"
    WARMUP = "warmup"
    SHRINK = "shrink"
    POLISH = "polish"
