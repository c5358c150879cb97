"""A sizing job, as the client holds it."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from shrinknets import wire
from shrinknets._errors import (
    JobNotSucceededError,
    NoTrialError,
    ServiceUnreachableError,
    WaitTimeoutError,
)
from shrinknets._findings import Findings
from shrinknets._transport import Transport

POLL_SECONDS = 0.3
PATIENCE_SECONDS = 60.0
"""A service that is restarted comes back within this time."""
LOG_SECONDS = 1.0
LAST_ROUNDS = 3
"""A trial's last lines come in a moment after its end."""

Given = TypeVar("Given")
Answer = TypeVar("Answer")


class Job(Findings):
    """A sizing job in the service.

    Attributes:
        info: the job as it was when last read; `reload` reads it again.
    """

    def __init__(self, transport: Transport, info: wire.Job) -> None:
        super().__init__(transport, info)

    def reload(self) -> "Job":
        """Read the job again; changes `info` in place."""
        self.info = self._transport.get(f"/jobs/{self.id}", wire.Job)
        return self

    def wait(self, *, progress: bool = True, timeout_seconds: float | None = None) -> "Job":
        """Wait until the job ended, showing a progress bar on standard error.

        A service that goes away for less than a minute is waited for. Interrupting leaves the job
        running.

        Raises:
            JobNotSucceededError: the job failed or was cancelled.
            WaitTimeoutError: it did not end in time; it goes on.
            ServiceUnreachableError: the service stayed away.
        """
        from shrinknets._progress import JobProgress  # noqa: PLC0415 - rich is slow to import

        started = seen = time.monotonic()
        with JobProgress(enabled=progress) as bar:
            while True:
                try:
                    self.reload()
                    seen = time.monotonic()
                except ServiceUnreachableError:
                    if time.monotonic() - seen > PATIENCE_SECONDS:
                        raise
                bar.show(self.info)
                if self.state.is_final:
                    break
                if timeout_seconds is not None and time.monotonic() - started > timeout_seconds:
                    raise WaitTimeoutError(self.id, timeout_seconds)
                time.sleep(POLL_SECONDS)
        if self.state is not wire.JobState.SUCCEEDED:
            raise JobNotSucceededError(self.id, self.state.value, self.info.reason)
        return self

    def cancel(self) -> "Job":
        """Ask the service to stop the job; its finished trials stay. Changes `info` in place."""
        self.info = self._transport.post(f"/jobs/{self.id}/cancel", wire.Job)
        return self

    def pause(self) -> "Job":
        """Let the job's worker go; its trials go on later. Changes `info` in place.

        A running job is `paused` a moment later. Raises ConflictError where it has ended.
        """
        self.info = self._transport.post(f"/jobs/{self.id}/pause", wire.Job)
        return self

    def resume(self) -> "Job":
        """Put a paused job back into the queue. Changes `info` in place.

        Raises ConflictError where it has ended.
        """
        self.info = self._transport.post(f"/jobs/{self.id}/resume", wire.Job)
        return self

    def retry_failed(self) -> "Job":
        """Queue an ended job again to run its failed trials anew. Changes `info` in place.

        Raises ConflictError where it has not ended, was cancelled, or no trial of it failed.
        """
        self.info = self._transport.post(f"/jobs/{self.id}/retry-failed", wire.Job)
        return self

    def change(
        self,
        *,
        name: str | None = None,
        labels: Mapping[str, str] | None = None,
        priority: int | None = None,
    ) -> "Job":
        """Change what is named; `labels` replaces all of them. Changes `info` in place."""
        given = {"name": name, "labels": labels, "priority": priority}
        body = {field: value for field, value in given.items() if value is not None}
        self.info = self._transport.patch(f"/jobs/{self.id}", wire.Job, body=body)
        return self

    def clone(self, **changes: Any) -> "Job":
        """Queue a job like this one; `changes` are fields of the spec, labels and priority."""
        info = self._transport.post(f"/jobs/{self.id}/clone", wire.Job, body=changes)
        return Job(self._transport, info)

    def delete(self) -> None:
        """Delete the job with its trials, networks and files.

        Raises ConflictError while it is running.
        """
        self._transport.delete(f"/jobs/{self.id}")

    def trial(self, which: str) -> wire.Trial:
        """Return a trial by its id, by `METHOD:NUMBER`, or by its number alone if that is enough.

        Raises NoTrialError.
        """
        trials = self.trials()
        method, _, number = which.rpartition(":")
        found = [
            trial
            for trial in trials
            if which == trial.id or (number == str(trial.number) and method in {"", trial.method})
        ]
        if len(found) != 1:
            raise NoTrialError(self.id, which, [f"{t.method}:{t.number}" for t in found or trials])
        return found[0]

    def logs(
        self, trial: wire.Trial | str, *, tail: int | None = None, after: int = 0
    ) -> wire.TrialLog:
        """Return what a trial's processes wrote, attempt by attempt.

        Args:
            trial: the trial or its id.
            tail: so many lines at the end.
            after: `next` of an earlier answer, for what came since.
        """
        trial_id = trial if isinstance(trial, str) else trial.id
        query = {"after": after} | ({} if tail is None else {"tail": tail})
        return self._transport.get(f"/trials/{trial_id}/logs", wire.TrialLog, query=query)

    def follow_logs(self, trial: wire.Trial | str, *, tail: int | None = None) -> Iterator[str]:
        """Yield a trial's log as it grows, until the trial has ended.

        A service that goes away for less than a minute is waited for.
        """
        trial_id = trial if isinstance(trial, str) else trial.id
        log = self.logs(trial_id, tail=tail)
        rounds_left = LAST_ROUNDS
        while True:
            yield log.as_text()
            if self._patiently(self._has_ended, trial_id):
                rounds_left -= 1
            if rounds_left == 0:
                return
            time.sleep(LOG_SECONDS)
            log = self._patiently(lambda place: self.logs(trial_id, after=place), log.next)

    def _has_ended(self, trial_id: str) -> bool:
        return self._transport.get(f"/trials/{trial_id}", wire.Trial).state.is_final

    def _patiently(self, ask: Callable[[Given], Answer], given: Given) -> Answer:
        started = time.monotonic()
        while True:
            try:
                return ask(given)
            except ServiceUnreachableError:
                if time.monotonic() - started > PATIENCE_SECONDS:
                    raise
            time.sleep(LOG_SECONDS)

    def artifacts(self, trial: wire.Trial | str) -> list[wire.Artifact]:
        """Return the files of a trial: each network's weights and exports."""
        trial_id = trial if isinstance(trial, str) else trial.id
        return list(self._transport.pages(f"/trials/{trial_id}/artifacts", wire.Artifact))

    def __repr__(self) -> str:
        done, total = self.info.progress.ended, self.info.progress.total
        return f"<Job {self.id} {self.state}, {done} of {total} trials>"
