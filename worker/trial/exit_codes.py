"""With which exit code the process of a trial ends, which tells the driver what to do."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Anything else is a crash."""

    ENDED = 0
    """The attempt was ended in order, whatever came of the trial."""
    BAD_ENVIRONMENT = 2
    LEASE_LOST = 80
    """The service gave the trial to somebody else."""
    SERVICE_AWAY = 81
    """The service did not answer for longer than the grace time."""
    OUT_OF_MEMORY = 82
    """Memory ran out while whole batches were trained at a time."""
