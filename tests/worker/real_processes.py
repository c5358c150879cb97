"""The real service and real workers as processes, for the end-to-end tests."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

from shrinknets.wire import Job, JobSpec, Page, Trial, TrialState

Value = TypeVar("Value")
LEASE_SECONDS = 3.0
PATIENCE = 240.0
"""How many seconds something may take where it only matters that it happens."""


class RealService:
    """`python -m service`, on an embedded database by default; can be killed and started again."""

    @property
    def database_url(self) -> str:
        return self._database_url or f"sqlite:///{self._folder / 'shrinknets.db'}"

    def __init__(
        self,
        folder: Path,
        *,
        attempt_lease_seconds: float = 60.0,
        database_url: str | None = None,
        job_lease_seconds: float = LEASE_SECONDS,
    ) -> None:
        self._database_url = database_url
        self._folder = folder
        self.artifacts = folder / "artifacts"
        self._attempt_lease_seconds = attempt_lease_seconds
        self._job_lease_seconds = job_lease_seconds
        self._port = find_free_port()
        self._process: psutil.Popen | None = None
        self.http = httpx.Client(base_url=f"{self.url}/api/v1", timeout=60)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        variables = {
            "SHRINKNETS_DATA_DIR": str(self._folder),
            "SHRINKNETS_PORT": str(self._port),
            "SHRINKNETS_JOB_LEASE_SECONDS": str(self._job_lease_seconds),
            "SHRINKNETS_ATTEMPT_LEASE_SECONDS": str(self._attempt_lease_seconds),
            "SHRINKNETS_DATABASE_URL": self.database_url,
            "SHRINKNETS_MIGRATE_ON_START": "true",
        }
        with (self._folder / "service.log").open("ab") as log:
            self._process = psutil.Popen(
                [sys.executable, "-m", "service"],
                env={**os.environ, **variables},
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, seconds=PATIENCE)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def submit(self, spec: JobSpec) -> str:
        return self._post("/jobs", spec.model_dump_json()).id

    def cancel(self, job_id: str) -> Job:
        return self._post(f"/jobs/{job_id}/cancel")

    def pause(self, job_id: str) -> Job:
        return self._post(f"/jobs/{job_id}/pause")

    def resume(self, job_id: str) -> Job:
        return self._post(f"/jobs/{job_id}/resume")

    def retry_failed(self, job_id: str) -> Job:
        return self._post(f"/jobs/{job_id}/retry-failed")

    def get_job(self, job_id: str) -> Job:
        return Job.model_validate_json(self.http.get(f"/jobs/{job_id}").raise_for_status().content)

    def list_trials(self, job_id: str) -> list[Trial]:
        answer = self.http.get(f"/jobs/{job_id}/trials?limit=100").raise_for_status()
        return Page[Trial].model_validate_json(answer.content).items

    def wait_until_final(self, job_id: str, *, seconds: float = PATIENCE) -> Job:
        return wait_for(lambda: final(self.get_job(job_id)), seconds=seconds)

    def wait_for_trials(self, job_id: str, state: TrialState, number: int) -> list[Trial]:
        """Wait until so many trials are in this state and return them."""

        def enough() -> list[Trial] | None:
            trials = [trial for trial in self.list_trials(job_id) if trial.state is state]
            return trials if len(trials) >= number else None

        return wait_for(enough, seconds=PATIENCE)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "service.log").read_text()
        try:
            return httpx.get(f"{self.url}/healthz").is_success
        except httpx.TransportError:
            return False

    def _post(self, path: str, content: str = "") -> Job:
        headers = {"Content-Type": "application/json"}
        answer = self.http.post(path, content=content, headers=headers)
        assert answer.is_success, answer.text
        return Job.model_validate_json(answer.content)


class RealWorker:
    """`python -m worker` with what it started."""

    def __init__(
        self,
        url: str,
        folder: Path,
        *options: str,
        api_key: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._log = folder / f"worker-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = psutil.Popen(
                [
                    *(sys.executable, "-m", "worker", "--url", url),
                    *("--folder", str(folder / "logs"), "--cache", str(folder / "cache")),
                    *options,
                ],
                env={
                    **os.environ,
                    "SHRINKNETS_API_KEY": api_key,
                    # Threads of several trials that wait for each other would starve each other.
                    "SHRINKNETS_WORKER_THREADS": "1",
                    **(variables or {}),
                },
                stderr=log,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def family(self) -> list[psutil.Process]:
        """The worker and all processes below it."""
        return [self.process, *self.process.children(recursive=True)]

    def trial_processes(self) -> list[psutil.Process]:
        found = []
        for server in self.process.children():
            # Others than the forkserver come and go.
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [child for child in server.children() if _is_attempt(child)]
        return found

    def wait_for_trial_processes(self, number: int) -> list[psutil.Process]:
        def enough() -> list[psutil.Process] | None:
            processes = self.trial_processes()
            return processes if len(processes) == number else None

        return wait_for(enough, seconds=PATIENCE)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def _is_attempt(process: psutil.Process) -> bool:
    """Whether a child of a forkserver writes an attempt's log; another one lists the families."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process.pid}/fd/1").readlink().name.startswith("attempt-")
    return False


def final(job: Job) -> Job | None:
    return job if job.state.is_final else None


def wait_for(look: Callable[[], Value | None], *, seconds: float) -> Value:
    """Look again and again until there is something; the time that it may take is in seconds."""
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited for {seconds} s in vain"
        time.sleep(0.02)
    return seen


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def all_gone(processes: list[psutil.Process], *, seconds: float = 60) -> bool:
    """Whether all end in time; a dead orphan that init has not reaped yet counts as gone."""
    deadline = time.monotonic() + seconds
    while not (gone := all(is_gone(process) for process in processes)):
        if time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    return gone


def is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
