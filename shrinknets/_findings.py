"""What a job has found, as the client holds it: networks, the frontier, the choice, studies."""

import warnings
from typing import Any

from shrinknets import frontier as _frontier
from shrinknets import limits as _limits
from shrinknets import wire
from shrinknets._choosing import best_by_rule
from shrinknets._errors import LimitsMissedWarning, NoNetworkError
from shrinknets._network import Network
from shrinknets._transport import Transport
from shrinknets.choice import limits_in_words, meets_limits, nearest_in_words


class Findings:
    """The part of a job that tells what it has found.

    Attributes:
        info: the job as it was when last read.
    """

    def __init__(self, transport: Transport, info: wire.Job) -> None:
        self._transport = transport
        self.info = info

    @property
    def id(self) -> str:
        return self.info.id

    @property
    def state(self) -> wire.JobState:
        return self.info.state

    def trials(self, *, curves: int | None = None) -> list[wire.Trial]:
        """Return all trials so far, in the order in which they were started.

        Args:
            curves: each trial's `curve` too, in at most so many points, 2 to 200.

        Raises:
            InvalidInputError: `curves` is out of range.
        """
        query = {} if curves is None else {"curves": curves}
        return list(self._transport.pages(f"/jobs/{self.id}/trials", wire.Trial, query=query))

    def configurations(self) -> list[wire.Configuration]:
        """Return each set of parameters with mean and spread over its trainings."""
        return list(self._transport.pages(f"/jobs/{self.id}/configurations", wire.Configuration))

    def epochs(self, trial: wire.Trial | str) -> list[wire.Record]:
        """Return what a trial reported, epoch by epoch."""
        trial_id = trial if isinstance(trial, str) else trial.id
        return list(self._transport.pages(f"/trials/{trial_id}/epochs", wire.Record))

    def networks(self) -> list[Network]:
        """Return all trained networks so far."""
        infos = self._transport.pages(f"/jobs/{self.id}/networks", wire.Network)
        return [Network(self._transport, info) for info in infos]

    def frontier(self) -> list[Network]:
        """Return the networks that no other beats in accuracy and size, smallest first."""
        return _frontier.frontier(self.networks())

    def best(
        self,
        *,
        max_parameters: int | None = None,
        max_macs: int | None = None,
        within: float = 0.0,
        rule: str | None = None,
        min_validation_accuracy: float | None = None,
    ) -> Network:
        """Return the most accurate network on validation, the smaller one of equals.

        Networks that were retrained for comparison are left out. Of a job with limits it is one
        that keeps them; where there is none, the one that misses them least, with a
        LimitsMissedWarning that says by how much.

        Args:
            max_parameters: look only at networks of at most so many weights and biases.
            max_macs: look only at those of at most so many multiply-accumulates for one example.
            within: the accuracy that may be given up for size, a share: 0.01 is one point.
            rule: `one_standard_error` gives up as much as validation cannot tell apart, `smallest`
                all but `min_validation_accuracy`; instead of `within`.
            min_validation_accuracy: look only at networks of at least this share, 0 to 1.

        Raises:
            NoNetworkError: there is none that fits; says how far the nearest ones are.
            ValueError: a limit, a share or a rule makes no sense.
        """
        if rule is not None and within:
            raise ValueError("a rule says by itself what may be given up: leave within=… out")
        if not 0 <= within <= 1:
            raise ValueError(f"within must be a share, 0 to 1, got {within}")
        spec = wire.ChoiceSpec(
            rule=wire.ChoiceRule(rule or "validation"),
            max_parameters=max_parameters,
            max_macs=max_macs,
            min_validation_accuracy=min_validation_accuracy,
        )
        found = [n for n in self.networks() if n.info.method is not wire.Method.RETRAIN]
        networks = self._keeping_limits(found, spec)
        if within:
            fitting = [n for n in networks if meets_limits(n.info, spec)]
            chosen = _frontier.best(fitting, within=within)
        else:
            chosen = best_by_rule(self._transport, self.info.spec.dataset, networks, spec)
        if chosen is None:
            limit = f" that {limits_in_words(spec)}" if limits_in_words(spec) else ""
            nearest = nearest_in_words(networks, spec)
            hint = f"; {nearest}" if nearest else ""
            raise NoNetworkError(f"job {self.id} ({self.state}) has no network{limit}{hint}")
        return chosen

    def _keeping_limits(self, networks: list[Network], spec: wire.ChoiceSpec) -> list[Network]:
        """Those that keep the job's limits, else of those that meet the caller's the nearest."""
        constraints = self.info.spec.constraints
        if kept := _limits.keeping(networks, constraints):
            return kept
        fitting = [n for n in networks if meets_limits(n.info, spec)]
        least = _limits.least_violating(fitting, constraints)
        if least is None:
            return networks
        missed = _limits.missed_in_words(least, constraints)
        warnings.warn(
            f"no network of job {self.id} keeps its limits: this one has {missed}",
            LimitsMissedWarning,
            stacklevel=3,
        )
        return [least]

    def choice(self) -> wire.Chosen:
        """Return which network the job's rule chose, why, and what was trained after that.

        While the search goes on it is the one that would be chosen now, and `made_at` is None.

        Raises:
            NotFoundError: there is no network yet.
        """
        return self._transport.get(f"/jobs/{self.id}/choice", wire.Chosen)

    def chosen(self) -> Network:
        """Return the network to take: the job's chosen one, fine-tuned where that was better.

        Raises:
            NotFoundError: there is no network yet.
        """
        return Network(self._transport, self.choice().final)

    def study(self, method: str | None = None, *, with_size: bool = False) -> Any:
        """Return the trials of one method as an `optuna.Study` in memory.

        Args:
            method: one of the search's; may be left out where the job has one.
            with_size: make the number of parameters a second objective, for Pareto fronts.

        Raises:
            NoOptunaError: Optuna is not installed here.
            StudyError: the job does not run this method, or several.
        """
        from shrinknets import _studies  # noqa: PLC0415 - most need no study

        return _studies.study_of(self, method, with_size=with_size)

    def export_study(self, url: str, *, overwrite: bool = False) -> list[str]:
        """Write one Optuna study for each method to a storage of Optuna's; returns their names.

        Args:
            url: such as `sqlite:///x.db`, which `optuna-dashboard` opens.
            overwrite: replace studies that were exported before.

        Raises:
            NoOptunaError: Optuna is not installed here.
            StudyError: they are there already, or the storage cannot be used.
        """
        from shrinknets import _studies  # noqa: PLC0415 - most need no study

        return _studies.export(self, url, overwrite=overwrite)
