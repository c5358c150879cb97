"""Gives waiting trials a process each, and finds out what became of them."""

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shrinknets.wire import Attempt, AttemptEnd, Trial, TrialState
from worker.engines import AttemptExit, Engine
from worker.errors import LeaseLostError
from worker.log_shipping import LogShipper
from worker.service_client import AttemptLease, JobLease
from worker.trial.environment import TrialEnvironment
from worker.trial.exit_codes import ExitCode

_RETRY_SECONDS = 1.0
_LOST = frozenset({ExitCode.LEASE_LOST, ExitCode.SERVICE_AWAY, None})
"""Exit codes that say nothing of the trial; None is that of a process that the engine lost."""
_EXPLAINED = frozenset(ExitCode)
"""Exit codes of processes that said themselves how they ended."""
_MAX_LOSSES = 3
"""So often a trial may lose its process before that is held against it."""


@dataclass(frozen=True)
class _Waiting:
    trial: Trial
    not_before: float


@dataclass(frozen=True)
class _Running:
    trial: Trial
    attempt: Attempt


class Attempts:
    """The unfinished trials of one job; a lost attempt gets another."""

    def __init__(
        self,
        lease: JobLease,
        *,
        engine: Engine,
        slots: int,
        cache: Path,
        trial_url: str | None = None,
        secrets: Sequence[str] = (),
    ) -> None:
        """Trials keep in `cache` what they fetch, and reach the service at `trial_url`.

        No log shows one of the `secrets`.
        """
        self._lease = lease
        self._cache = cache
        self._engine = engine
        self._slots = slots
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[str, _Running] = {}
        self._losses: Counter[str] = Counter()
        self._logs = LogShipper(lease.client.url, secrets=secrets)
        self._trial_url = trial_url or lease.client.url

    @property
    def num_unfinished(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def has_free_slot(self) -> bool:
        return self.num_unfinished < self._slots

    def add(self, trial: Trial) -> None:
        """Take on a trial; `start_waiting` starts it."""
        self._waiting.append(_Waiting(trial, not_before=0.0))

    def start_waiting(self) -> list[Trial]:
        """Start what may start now; returns trials that turn out to have ended already."""
        ended: list[Trial] = []
        for _ in range(len(self._waiting)):
            if len(self._running) >= self._slots or not self._engine.can_start():
                break
            waiting = self._waiting.popleft()
            if waiting.not_before > time.monotonic():
                self._waiting.append(waiting)
            else:
                ended += self._start(waiting.trial)
        return ended

    def wait(self, seconds: float) -> list[Trial]:
        """The trials that ended; returns as soon as there is one."""
        return [trial for gone in self._engine.wait(seconds) for trial in self._conclude(gone)]

    def close(self) -> None:
        """Hand in the last lines that the attempts wrote; their processes must be gone."""
        self._logs.close()

    def _start(self, trial: Trial) -> list[Trial]:
        try:
            attempt = self._lease.start_attempt(trial.id)
        except LeaseLostError:
            # Not waiting: an attempt whose answer never reached us, until its lease runs out.
            # Or the job is no longer ours, which the next renewal tells.
            return self._ended_or_postponed(trial)
        self._running[attempt.id] = _Running(trial, attempt)
        environment = TrialEnvironment(
            url=self._trial_url,
            attempt_id=attempt.id,
            token=attempt.token,
            cache=self._cache,
        )
        self._logs.follow(attempt, self._engine.output_of(attempt.id))
        self._engine.start(attempt.id, environment.variables())
        return []

    def _conclude(self, gone: AttemptExit) -> list[Trial]:
        """What became of the trial whose process is gone."""
        running = self._running.pop(gone.attempt_id, None)
        if running is None:
            return []  # of an earlier job: it took longer to die than anybody waited
        is_in_order = gone.exit_code in _EXPLAINED
        self._logs.finish(
            gone.attempt_id,
            last_words="" if is_in_order else gone.reason,
            keeps_file=gone.exit_code != ExitCode.ENDED,
        )
        trial = self._lease.client.get_trial(running.trial.id)
        if trial.state.is_final:
            return [trial]
        if gone.exit_code == ExitCode.ENDED and trial.state is TrialState.WAITING:
            return self._postpone(trial)  # given back in order, as for a pause
        lease = AttemptLease(self._lease.client, gone.attempt_id, running.attempt.token)
        if self._is_worth_another(trial, gone):
            return self._give_back(trial, lease, gone.reason)
        reason = "\n".join(filter(None, [gone.reason, gone.last_lines]))
        try:
            return [lease.end(AttemptEnd(state=TrialState.FAILED, reason=reason))]
        except LeaseLostError:
            return self._ended_or_postponed(trial)

    def _is_worth_another(self, trial: Trial, gone: AttemptExit) -> bool:
        """Whether the end of the process says nothing of the trial."""
        if not gone.has_run:
            return True
        self._losses[trial.id] += 1
        return gone.exit_code in _LOST and self._losses[trial.id] <= _MAX_LOSSES

    def _give_back(self, trial: Trial, lease: AttemptLease, reason: str) -> list[Trial]:
        # Else it would wait until the lease of a process has run out that is known to be gone.
        try:
            lease.end(AttemptEnd(state=TrialState.WAITING, reason=reason))
        except LeaseLostError:
            return self._ended_or_postponed(trial)
        return self._postpone(trial)

    def _ended_or_postponed(self, trial: Trial) -> list[Trial]:
        trial = self._lease.client.get_trial(trial.id)
        return [trial] if trial.state.is_final else self._postpone(trial)

    def _postpone(self, trial: Trial) -> list[Trial]:
        self._waiting.append(_Waiting(trial, time.monotonic() + _RETRY_SECONDS))
        return []
