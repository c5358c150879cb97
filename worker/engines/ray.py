"""The engine for a Ray cluster: each attempt is a job of Ray's Jobs API.

Ray starts commands and stops them; it keeps no queue of ours and retries nothing.
"""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from worker.engines.base import AttemptExit
from worker.engines.ray_board import Attempt, Board
from worker.engines.ray_jobs import ENGINE_KEY, SERVICE_KEY, RayJobs, Submission
from worker.engines.ray_orphans import IsHeld, Orphans
from worker.engines.ray_watch import RayWatch
from worker.trial.environment import (
    CACHE_VARIABLE,
    MEMORY_VARIABLE,
    RAY_TOKEN_KEY,
    THREADS_VARIABLE,
    TOKEN_VARIABLE,
)


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """What each trial gets of the cluster, and how its command is started there."""

    cpus: float = 1.0
    gpus: float = 1.0
    """Below 1 a share of one card."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Custom resources of the cluster."""
    python: str = "python3"
    working_dir: str | None = None
    cache: str | None = None
    """Where trials keep what they fetch; the node's own choice when None."""
    pending_seconds: float = 30.0
    poll_seconds: float = 1.0
    stop_seconds: int = 1
    """Between SIGTERM and SIGKILL, by Ray."""
    module: str = "worker.trial"

    def entrypoint(self) -> str:
        """The command for a shell, which it replaces."""
        command = f"exec {shlex.quote(self.python)} -m {self.module}"
        if self.working_dir is None:
            return command
        return f"cd {shlex.quote(self.working_dir)} && {command}"

    def variables(self) -> dict[str, str]:
        """What the command finds in its environment besides what its attempt brings."""
        threads = str(max(1, int(self.cpus)))
        variables = {
            "OMP_NUM_THREADS": threads,
            THREADS_VARIABLE: threads,
            # Ray reads it from there: a submission has no field for it.
            "RAY_JOB_STOP_WAIT_TIME_S": str(self.stop_seconds),
        }
        if 0 < self.gpus < 1:
            variables[MEMORY_VARIABLE] = str(self.gpus)
        return variables if self.cache is None else {**variables, CACHE_VARIABLE: self.cache}


class RayEngine:
    """Starts attempts on a cluster; a thread of its own speaks with the head, which may hang."""

    def __init__(
        self,
        jobs: RayJobs,
        *,
        folder: Path,
        service_url: str,
        is_held: IsHeld,
        options: RayOptions,
    ) -> None:
        """Logs are copied to `folder`; `service_url` is where the trials reach the service.

        Raises RayNotAllowedError; a head that does not answer is waited for.
        """
        self._folder = folder
        self._service_url = service_url
        self._options = options
        self._id = secrets.token_hex(8)
        self._board = Board()
        self._watch = RayWatch(
            jobs,
            self._board,
            Orphans(jobs, engine_id=self._id, service_url=service_url, is_held=is_held),
            is_held=is_held,
            output_of=self.output_of,
            pending_seconds=options.pending_seconds,
            poll_seconds=options.poll_seconds,
        )
        self._watch.start()

    def can_start(self) -> bool:
        return self._board.has_room

    def start(self, attempt_id: str, variables: Mapping[str, str]) -> None:
        token = variables.get(TOKEN_VARIABLE, "")
        # The folder of the cache is one of this machine.
        left_out = {TOKEN_VARIABLE, CACHE_VARIABLE}
        brought = {name: value for name, value in variables.items() if name not in left_out}
        submission = Submission(
            id=attempt_id,
            entrypoint=self._options.entrypoint(),
            variables=brought | self._options.variables(),
            metadata={ENGINE_KEY: self._id, SERVICE_KEY: self._service_url, RAY_TOKEN_KEY: token},
            cpus=self._options.cpus,
            gpus=self._options.gpus,
            resources=self._options.resources,
        )
        self._board.add(Attempt(submission, token))

    def wait(self, seconds: float) -> list[AttemptExit]:
        return self._board.take_exits(seconds=seconds)

    def running(self) -> frozenset[str]:
        return self._board.ids()

    def stop(self, attempt_id: str, *, force: bool = False) -> None:
        """Ray follows SIGTERM by SIGKILL itself, so `force` only asks once more."""
        self._board.order_stop(attempt_id, again=force)

    def output_of(self, attempt_id: str) -> Path:
        return self._folder / f"{attempt_id}.log"

    def close(self) -> None:
        for attempt_id in self.running():
            self.stop(attempt_id)
        self._watch.close()
