"""Watches the running trials of a job: ends those that promise little, and keeps the budget."""

import math
import time
from collections.abc import Iterable, Mapping, Sequence

from shrinknets.wire import Budget, DatasetDetails, Epochs, JobSpec, Trial
from shrinknets.wire.steering import MAX_ASKED
from worker.leases import JobLease
from worker.pruning import comparable, make_pruner
from worker.reading import get_dataset

MACS_PER_STEP = 3
"""A backward pass costs twice what a forward pass does."""
HELD_OUT = 0.2
"""Share of the rows that test, and of the others that validate."""


class Overseer:
    """Reads new epochs of all running trials in one request, and orders what follows from them."""

    def __init__(self, lease: JobLease, *, trials: Iterable[Trial]) -> None:
        """Take up the job where its trials stand."""
        self._lease = lease
        self._spec = lease.claim.job.spec
        self._pruner = make_pruner(self._spec)
        self._seen: dict[str, int] = {}
        self._verdicts: dict[str, str] = {}
        self._ordered: set[str] = set()
        self._budget = _Spending(lease, self._spec)
        known = sorted(trials, key=lambda trial: trial.number)
        if self._pruner is not None:
            self._remember(known)

    def begin(self, trial: Trial) -> None:
        """A trial was announced."""
        if self._pruner is not None:
            self._pruner.begin(trial)

    def look(self, running: Mapping[str, Trial]) -> str | None:
        """See how running trials, by attempt, do, and end some.

        Returns the reason, in words, if the budget is used up.
        """
        if running and self._wants_epochs:
            trials = running.values()
            new = self._lease.read_epochs({t.id: self._seen.get(t.id, 0) for t in trials})
            for trial in trials:
                if (reason := self._see(trial, new.get(trial.id))) is not None:
                    self._verdicts.setdefault(trial.id, reason)
        used_up = self._budget.used_up()
        for attempt_id, trial in running.items():
            reason = self._verdicts.get(trial.id) or used_up
            # A trial that was lost meanwhile has another attempt, which is told again.
            if reason is not None and attempt_id not in self._ordered:
                self._ordered.add(attempt_id)
                self._lease.prune(trial.id, reason)
        return used_up

    def end(self, trial: Trial) -> None:
        """A trial has ended."""
        if self._wants_epochs:
            new = self._lease.read_epochs({trial.id: self._seen.get(trial.id, 0)})
            self._see(trial, new.get(trial.id))
        if self._pruner is not None:
            self._pruner.end(trial)
        self._seen.pop(trial.id, None)
        self._verdicts.pop(trial.id, None)

    @property
    def _wants_epochs(self) -> bool:
        return self._pruner is not None or self._budget.counts_macs

    def _see(self, trial: Trial, epochs: Epochs | None) -> str | None:
        if epochs is None or not epochs.step:
            return None
        self._seen[trial.id] = epochs.step[-1]
        self._budget.add(epochs)
        if self._pruner is None:
            return None
        return self._pruner.see(trial, comparable(self._spec, trial, epochs))

    def _remember(self, trials: Sequence[Trial]) -> None:
        assert self._pruner is not None
        for first in range(0, len(trials), MAX_ASKED):
            some = trials[first : first + MAX_ASKED]
            new = self._lease.read_epochs({trial.id: 0 for trial in some})
            for trial in some:
                self._pruner.begin(trial)
                epochs = new.get(trial.id)
                if epochs is not None:
                    # What they spent is in the service's sum already.
                    self._pruner.see(trial, comparable(self._spec, trial, epochs))
                    self._seen[trial.id] = epochs.step[-1]
                if trial.state.is_final:
                    self._pruner.end(trial)
                    self._seen.pop(trial.id, None)


class _Spending:
    """What the job has spent: by the service's tables until now, and by what comes from now on."""

    def __init__(self, lease: JobLease, spec: JobSpec) -> None:
        self._limits: Budget = spec.budget
        self._since = time.monotonic()
        self._seconds = self._macs = 0.0
        self._rows = 0
        if self._limits.seconds is None and self._limits.training_macs is None:
            return
        spent = lease.read_spent()
        self._seconds = spent.seconds
        if self.counts_macs:
            self._rows = training_rows(get_dataset(lease.client, spec.dataset))
            self._macs = spent.epoch_macs * MACS_PER_STEP * self._rows

    @property
    def counts_macs(self) -> bool:
        return self._limits.training_macs is not None

    def add(self, epochs: Epochs) -> None:
        self._macs += sum(epochs.macs) * MACS_PER_STEP * self._rows

    def used_up(self) -> str | None:
        seconds, macs = self._limits.seconds, self._limits.training_macs
        if seconds is not None and self._seconds + time.monotonic() - self._since >= seconds:
            return f"the budget of {seconds:g} s was used up"
        if macs is not None and self._macs >= macs:
            return f"the budget of {macs:g} multiply-accumulates was used up"
        return None


def training_rows(dataset: DatasetDetails) -> int:
    """How many rows of a data set a job trains on; the others validate and test."""
    rows = dataset.rows
    if dataset.test_rows is None:
        rows -= math.ceil(HELD_OUT * rows)
    return rows - math.ceil(HELD_OUT * rows)
