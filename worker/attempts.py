"""Gives waiting trials a process each, and finds out what became of them."""

import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from shrinknets.wire import Attempt, AttemptEnd, Trial, TrialState
from worker.engines import AttemptExit, Engine
from worker.errors import LeaseLostError, TimeLimitError
from worker.leases import AttemptLease, JobLease
from worker.log_shipping import LogShipper
from worker.retries import Retries, Verdict
from worker.time_limits import TimeLimits
from worker.trial.environment import CHECKPOINT_SECONDS, TrialEnvironment
from worker.trial.exit_codes import ExitCode

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0
_EXPLAINED = frozenset(ExitCode)
"""Exit codes of processes that said themselves how they ended."""


@dataclass(frozen=True)
class _Waiting:
    trial: Trial
    not_before: float


@dataclass
class _Running:
    trial: Trial
    attempt: Attempt
    look_at: float
    """When to ask the service whether it still counts on the attempt."""


class Attempts:
    """The unfinished trials of one job; a lost attempt gets another."""

    def __init__(
        self,
        lease: JobLease,
        *,
        engine: Engine,
        slots: int,
        cache: Path,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        trial_url: str | None = None,
        secrets: Sequence[str] = (),
        **stop_seconds: float,
    ) -> None:
        """Trials keep in `cache` what they fetch, and take a checkpoint every so many seconds.

        They reach the service at `trial_url`. No log shows one of the `secrets`. TimeLimits has the
        meaning of `stop_seconds`.
        """
        self._lease = lease
        self._cache = cache
        self._checkpoint_seconds = checkpoint_seconds
        self._engine = engine
        self._slots = slots
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[str, _Running] = {}
        self._retries = Retries()
        self._limits = TimeLimits(engine, **stop_seconds)
        self._takes_more = True
        self._logs = LogShipper(lease.client.url, secrets=secrets)
        self._trial_url = trial_url or lease.client.url

    @property
    def num_unfinished(self) -> int:
        return len(self._waiting) + len(self._running)

    @property
    def running(self) -> dict[str, Trial]:
        """The trials that have a process, by attempt."""
        return {attempt_id: one.trial for attempt_id, one in self._running.items()}

    def take_no_more(self) -> None:
        """Let go of what waits, now and later; what runs may end."""
        self._takes_more = False
        self._waiting.clear()

    def take_more(self, trials: Iterable[Trial]) -> None:
        """Take on trials, and again whatever comes back."""
        self._takes_more = True
        for trial in trials:
            self.add(trial)

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
        exits = self._engine.wait(min(seconds, self._limits.seconds_left()))
        self._limits.enforce()
        self._stop_forgotten()
        return [trial for gone in exits for trial in self._conclude(gone)]

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
        look_at = time.monotonic() + attempt.lease_seconds
        self._running[attempt.id] = _Running(trial, attempt, look_at)
        environment = TrialEnvironment(
            url=self._trial_url,
            attempt_id=attempt.id,
            token=attempt.token,
            cache=self._cache,
            micro_batches=self._retries.micro_batches(trial.id),
            checkpoint_seconds=self._checkpoint_seconds,
        )
        self._logs.follow(attempt, self._engine.output_of(attempt.id))
        self._engine.start(attempt.id, environment.variables())
        if (seconds := self._lease.claim.job.spec.trial_seconds) is not None:
            self._limits.watch(attempt.id, seconds=seconds - attempt.trial.train_seconds)
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
        took_too_long = self._limits.forget(gone.attempt_id)
        trial = self._lease.client.get_trial(running.trial.id)
        if trial.state.is_final:
            return [trial]
        if took_too_long and (limit := self._lease.claim.job.spec.trial_seconds):
            return self._fail(running, str(TimeLimitError(limit)))
        is_waiting = trial.state is TrialState.WAITING
        verdict = self._retries.judge(
            trial.id, gone.exit_code, gave_back=is_waiting, has_run=gone.has_run
        )
        if verdict is Verdict.FAILED:
            return self._fail(running, "\n".join(filter(None, [gone.reason, gone.last_lines])))
        _log.warning("%s %d: %s; %s", trial.method.value, trial.number, gone.reason, verdict.value)
        return self._postpone(trial) if is_waiting else self._give_back(running, gone.reason)

    def _give_back(self, running: _Running, reason: str) -> list[Trial]:
        """Let the trial wait at once: nothing is gained by waiting until the lease runs out."""
        try:
            trial = self._end(running.attempt, TrialState.WAITING, reason)
        except LeaseLostError:
            return self._ended_or_postponed(running.trial)
        return self._postpone(trial, seconds=0.0)

    def _fail(self, running: _Running, reason: str) -> list[Trial]:
        try:
            return [self._end(running.attempt, TrialState.FAILED, reason)]
        except LeaseLostError:
            pass
        try:
            # Its lease ran out while its process hung: only who has a lease may end a trial.
            attempt = self._lease.start_attempt(running.trial.id)
            return [self._end(attempt, TrialState.FAILED, reason)]
        except LeaseLostError:
            return self._ended_or_postponed(running.trial)

    def _end(self, attempt: Attempt, state: TrialState, reason: str) -> Trial:
        """End an attempt in the name of its process. Raises LeaseLostError."""
        lease = AttemptLease(self._lease.client, attempt.id, attempt.token)
        return lease.end(AttemptEnd(state=state, reason=reason))

    def _stop_forgotten(self) -> None:
        """Kill processes so stuck that their leases ran out: nobody waits for them any more."""
        now = time.monotonic()
        for attempt_id, running in self._running.items():
            if now >= running.look_at:
                running.look_at = now + running.attempt.lease_seconds
                trial = self._lease.client.get_trial(running.trial.id)
                if trial.state is not TrialState.RUNNING:
                    self._engine.stop(attempt_id, force=True)

    def _ended_or_postponed(self, trial: Trial) -> list[Trial]:
        trial = self._lease.client.get_trial(trial.id)
        return [trial] if trial.state.is_final else self._postpone(trial)

    def _postpone(self, trial: Trial, *, seconds: float = _RETRY_SECONDS) -> list[Trial]:
        if self._takes_more:
            self._waiting.append(_Waiting(trial, time.monotonic() + seconds))
        return []
