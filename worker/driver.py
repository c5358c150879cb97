"""The search of one job: keeps the slots full, learns from what ends, and judges the outcome."""

import logging
import threading
import time
import traceback
from contextlib import AbstractContextManager
from datetime import UTC, datetime

from shrinknets.wire import JobEnd, JobState, Order, Trial, TrialRequest, TrialState
from worker.attempts import Attempts
from worker.engines import stop_all, wait_until_gone
from worker.errors import (
    LeaseLostError,
    NotAllowedError,
    ServiceUnreachableError,
    UnsuitableJobError,
)
from worker.families import settled_here
from worker.final_trials import final_requests
from worker.heartbeat import renewing
from worker.leases import JobLease
from worker.means import Means
from worker.overseeing import Overseer
from worker.preparing import outcome, prepare_search
from worker.search import JobSearch
from worker.settings import WorkerSettings
from worker.sizes import with_layers

_log = logging.getLogger(__name__)


class Driver:
    """Runs one claimed job; it is made for one run."""

    def __init__(
        self,
        lease: JobLease,
        *,
        means: Means,
        settings: WorkerSettings,
        stopping: threading.Event,
    ) -> None:
        self._lease = lease
        self._job = lease.claim.job
        self._engine = means.engine
        self._listing = means.listing
        self._settings = settings
        self._stopping = stopping
        self._attempts = Attempts(
            lease,
            engine=means.engine,
            slots=means.slots,
            cache=settings.cache,
            checkpoint_seconds=settings.checkpoint_seconds,
            trial_url=settings.trial_url,
            secrets=settings.secrets(),
            flag_seconds=settings.flag_seconds,
            terminate_seconds=settings.terminate_seconds,
        )
        self._failures_in_a_row = 0
        self._last_without_network: Trial | None = None
        self._renew_at = 0.0
        self._final: list[Trial] = []
        self._is_choice_made = False
        """Nothing more is searched: what runs follows the choice, outside pruning and budget."""

    def run(self) -> JobEnd:
        """Work until the job is done or must be given back; leaves no trial process behind.

        Raises LeaseLostError when somebody else has the job, NotAllowedError when the worker's key
        is no longer valid, ServiceUnreachableError when the worker is stopped while the service
        is away.
        """
        try:
            return self._drive()
        except (LeaseLostError, NotAllowedError, ServiceUnreachableError):
            raise
        except UnsuitableJobError as error:
            return JobEnd(state=JobState.FAILED, reason=str(error))
        except Exception:  # noqa: BLE001  (our own bug must fail one job, not each worker in turn)
            _log.exception("job %s", self._job.id)
            return JobEnd(state=JobState.FAILED, reason=traceback.format_exc(limit=-3))
        finally:
            with self._renewing():
                stop_all(self._engine, grace_seconds=self._settings.terminate_seconds)
            self._attempts.close()

    def _drive(self) -> JobEnd:
        search, overseer = self._take_up()
        while True:
            if self._stopping.is_set():
                return JobEnd(state=JobState.QUEUED, reason="its worker was shut down")
            if (order := self._renew_when_due()) is not Order.CONTINUE:
                return self._let_go(order)
            if not self._is_choice_made:
                self._oversee(search, overseer)
            self._learn(search, overseer, self._attempts.start_waiting())
            if self._failures_in_a_row >= self._settings.failures_in_a_row:
                return self._failed(f"{self._failures_in_a_row} trials in a row failed")
            if self._attempts.num_unfinished == 0 and not self._announce_final():
                return self._judge(search)
            seconds_left = self._renew_at - time.monotonic()
            self._learn(search, overseer, self._attempts.wait(max(0.0, seconds_left)))

    def _oversee(self, search: JobSearch, overseer: Overseer) -> None:
        """End what promises little or is over the budget, and keep the slots full."""
        if (reason := overseer.look(self._attempts.running)) is not None:
            search.stop(reason)
            self._attempts.take_no_more()
        while self._attempts.has_free_slot and (request := self._propose(search)) is not None:
            trial = self._lease.announce(request)
            overseer.begin(trial)
            self._attempts.add(trial)

    def _let_go(self, order: Order) -> JobEnd:
        # The trials hear of it too, and end by themselves.
        with self._renewing():
            wait_until_gone(self._engine, seconds=self._settings.flag_seconds)
        return JobEnd(state=JobState.CANCELLED if order is Order.STOP else JobState.PAUSED)

    def _take_up(self) -> tuple[JobSearch, Overseer]:
        """Go on where the service's trials stand."""
        spec, family = settled_here(self._job.spec, self._listing, meanwhile=self._renew_when_due)
        trials = list(self._lease.client.iter_trials(self._job.id))
        searched = [trial for trial in trials if trial.method.is_search]
        self._final = [trial for trial in trials if not trial.method.is_search]
        self._is_choice_made = any(not trial.state.is_final for trial in self._final)
        with self._renewing():
            search = prepare_search(self._lease, with_layers(spec, family), searched)
        never = datetime.max.replace(tzinfo=UTC)
        for trial in sorted(trials, key=lambda trial: trial.ended_at or never):
            if trial.state.is_final:
                self._count(trial)
            else:
                self._attempts.add(trial)
        with self._renewing():
            return search, Overseer(self._lease, trials=searched)

    def _renew_when_due(self) -> Order:
        if time.monotonic() < self._renew_at:
            return Order.CONTINUE
        order = self._lease.renew()
        self._renew_at = time.monotonic() + self._settings.renew_seconds
        return order

    def _propose(self, search: JobSearch) -> TrialRequest | None:
        with self._renewing():
            return search.propose()

    def _renewing(self) -> AbstractContextManager[None]:
        # Rebuilding a long search, a proposal of a Gaussian process, a trial's last epoch: all may
        # take longer than the lease.
        return renewing(self._lease, every_seconds=self._settings.renew_seconds)

    def _announce_final(self) -> bool:
        """Once the search is over: have the network chosen, and announce what follows, if any."""
        # A trial may hear of a cancel before the driver does.
        if self._lease.renew() is Order.STOP or (chosen := self._lease.choose()) is None:
            return False
        source = self._lease.client.get_trial(chosen.network.trial_id)
        requests = final_requests(self._job.spec, chosen, source, self._final)
        announced = [self._lease.announce(request) for request in requests]
        self._is_choice_made = True
        self._attempts.take_more(announced)
        self._final += announced
        return bool(announced)

    def _learn(self, search: JobSearch, overseer: Overseer, ended: list[Trial]) -> None:
        for trial in ended:
            if trial.method.is_search:
                overseer.end(trial)
                search.tell(trial)
            self._count(trial)
            accuracy = trial.validation_accuracy
            _log.info(
                "job %s: %s %d %s, validation accuracy %s",
                *(self._job.id, trial.method.value, trial.number, trial.state.value),
                "unknown" if accuracy is None else f"{accuracy:.1%}",
                extra={"fields": {"trial_id": trial.id}},
            )

    def _count(self, trial: Trial) -> None:
        if trial.state is not TrialState.COMPLETE:
            self._last_without_network = trial
        failed = trial.state is TrialState.FAILED
        self._failures_in_a_row = self._failures_in_a_row + 1 if failed else 0

    def _judge(self, search: JobSearch) -> JobEnd:
        # A trial may hear of a cancel before the driver does.
        if self._lease.renew() is Order.STOP:
            return JobEnd(state=JobState.CANCELLED)
        if self._lease.client.has_networks(self._job.id):
            reason = outcome(self._lease, search)
            return JobEnd(state=JobState.SUCCEEDED, reason=reason)
        return self._failed("; ".join(["no trial gave a network", *search.notes()]))

    def _failed(self, what: str) -> JobEnd:
        last = self._last_without_network
        why = f"; the last, {last.method.value} {last.number}: {last.reason}" if last else ""
        return JobEnd(state=JobState.FAILED, reason=what + why)
