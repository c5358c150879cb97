"""All that steers a worker, read once and passed down."""

from dataclasses import dataclass, field
from pathlib import Path

from worker.trial.environment import default_cache


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How one worker process behaves."""

    url: str
    """Where the service answers, such as http://127.0.0.1:8000."""
    name: str
    """For people: shown beside the jobs that the worker holds."""
    api_key: str | None = field(default=None, repr=False)
    """Shown to the service, if there is one; trials have their attempt's token instead."""
    slots: int = 2
    """Trials that run at once; the cores are shared out among them."""
    once: bool = False
    """Stop after one job."""
    folder: Path | None = None
    """Where logs of trials go; a temporary folder that goes with the worker by default."""
    cache: Path = field(default_factory=default_cache)
    """Where fetched data sets stay; all workers of a user on this machine share it."""
    poll_seconds: float = 1.0
    """How often an idle worker asks for a job."""
    renew_seconds: float = 0.5
    """How often the lease of the job is renewed, and so how soon a cancel is heard."""
    flag_seconds: float = 0.4
    """After a cancel: how long trials may take to stop by themselves."""
    terminate_seconds: float = 0.5
    """After SIGTERM to a trial's process group: how long until SIGKILL."""
    failures_in_a_row: int = 3
    """So many trials that fail one after the other fail the job."""
