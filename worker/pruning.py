"""Which running trials are ended early, judged by what others had reported at the same epoch."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import optuna
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as StudyState

from shrinknets.wire import (
    Epochs,
    JobSpec,
    Method,
    Phase,
    Pruner,
    PrunerKind,
    SizeMeasure,
    Trial,
    TrialState,
)
from worker.objectives import values_at

_RUNG_KINDS = frozenset({PrunerKind.HYPERBAND, PrunerKind.ASHA})


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch that can be compared with others of the same step and method."""

    step: int
    phase: Phase
    accuracy: float
    size: int


class TrialPruner(Protocol):
    """Learns of epochs and ends, and judges."""

    def begin(self, trial: Trial) -> None:
        """A trial is there; they must come by rising number of their method."""

    def see(self, trial: Trial, epochs: Sequence[Epoch]) -> str | None:
        """Take in the trial's next epochs; the reason, in words, if it is to end."""

    def end(self, trial: Trial) -> None:
        """The trial has ended."""


def make_pruner(spec: JobSpec) -> TrialPruner | None:
    """What the job asks for; None where no trial is ended early."""
    match spec.pruner.kind:
        case PrunerKind.NONE:
            return None
        case PrunerKind.DOMINATION:
            return DominationPruner(spec)
        case _:
            return StudyPruner(spec)


def comparable(spec: JobSpec, trial: Trial, epochs: Epochs) -> list[Epoch]:
    """The epochs at which trials of one method can be compared.

    All trials of a method go through the same phases at the same epochs. Warm-up says nothing, as
    no λ acts in it; and a path is one run along all sizes.
    """
    if trial.method is Method.PATH:
        return []
    first = spec.pruner.warmup_share * spec.training.epochs
    return [e for e in _rows(spec, epochs) if e.phase is not Phase.WARMUP and e.step > first]


def _rows(spec: JobSpec, epochs: Epochs) -> Iterator[Epoch]:
    sizes = epochs.macs if spec.objective.size is SizeMeasure.MACS else epochs.parameters
    columns = (epochs.step, epochs.phase, epochs.validation_accuracy, sizes)
    for step, phase, accuracy, size in zip(*columns, strict=True):
        yield Epoch(step=step, phase=phase, accuracy=accuracy, size=size)


class _Field:
    """What all trials of a method had at each step."""

    def __init__(self) -> None:
        self._at: dict[int, list[tuple[int, Epoch]]] = defaultdict(list)

    def add(self, trial: Trial, epoch: Epoch) -> None:
        self._at[epoch.step].append((trial.number, epoch))

    def find_better(self, trial: Trial, epoch: Epoch, *, margin: float) -> tuple[int, Epoch] | None:
        """The most accurate of those that were no larger and better by the margin."""
        better = [
            (number, other)
            for number, other in self._at[epoch.step]
            if number != trial.number
            and other.size <= epoch.size
            and other.accuracy >= epoch.accuracy + margin
        ]
        return max(better, key=lambda one: (one[1].accuracy, -one[0]), default=None)


class DominationPruner:
    """Ends a trial that a network of no more size had beaten by a margin at the same epoch.

    For one objective or two: Optuna's pruners know a single number per epoch.
    """

    def __init__(self, spec: JobSpec) -> None:
        self._spec = spec
        self._fields: dict[Method, _Field] = defaultdict(_Field)
        self._num_complete: dict[Method, int] = defaultdict(int)

    def begin(self, trial: Trial) -> None:
        """Nothing is to be noted."""

    def see(self, trial: Trial, epochs: Sequence[Epoch]) -> str | None:
        field = self._fields[trial.method]
        for epoch in epochs:
            field.add(trial, epoch)
        if not epochs or self._num_complete[trial.method] < self._spec.pruner.startup_trials:
            return None
        last = epochs[-1]
        better = field.find_better(trial, last, margin=self._spec.pruner.margin)
        if better is None:
            return None
        number, other = better
        return (
            f"dominated in epoch {last.step}: {_in_words(self._spec, last)}, when "
            f"{trial.method.value} {number} had {_in_words(self._spec, other)}"
        )

    def end(self, trial: Trial) -> None:
        self._num_complete[trial.method] += trial.state is TrialState.COMPLETE


class StudyPruner:
    """Asks one of Optuna's pruners, with a study per method in which each training is a trial."""

    def __init__(self, spec: JobSpec) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec = spec
        self._pruner = _optuna_pruner(spec.pruner, epochs=spec.training.epochs)
        self._studies = {
            method: optuna.create_study(
                direction="maximize",
                # Hyperband's brackets follow from this name.
                study_name=f"{method.value}/{spec.seed}",
                sampler=optuna.samplers.RandomSampler(seed=0),
            )
            for method in spec.methods.chosen()
        }
        self._fields: dict[Method, _Field] = defaultdict(_Field)
        self._places: dict[str, int] = {}
        self._phase_began: dict[tuple[str, Phase], int] = {}

    def begin(self, trial: Trial) -> None:
        study = self._studies[trial.method]
        self._places[trial.id] = len(study.get_trials(deepcopy=False))
        study.add_trial(create_trial(state=StudyState.RUNNING, params={}, distributions={}))

    def see(self, trial: Trial, epochs: Sequence[Epoch]) -> str | None:
        reason: str | None = None
        handle = self._handle(trial)
        for epoch in epochs:
            self._fields[trial.method].add(trial, epoch)
            self._phase_began.setdefault((trial.id, epoch.phase), epoch.step)
            handle.report(self._value(epoch), epoch.step)
            # Rungs want each step; the others look at the last one.
            is_due = self._spec.pruner.kind in _RUNG_KINDS or epoch is epochs[-1]
            if is_due and reason is None:
                reason = self._judge(trial, epoch)
        return reason

    def end(self, trial: Trial) -> None:
        study, place = self._studies[trial.method], self._places[trial.id]
        frozen = study.get_trials(deepcopy=False)[place]
        if trial.state is TrialState.COMPLETE and frozen.intermediate_values:
            assert frozen.last_step is not None
            study.tell(place, frozen.intermediate_values[frozen.last_step])
        elif trial.state is TrialState.PRUNED:
            study.tell(place, state=StudyState.PRUNED)
        else:
            study.tell(place, state=StudyState.FAIL)

    def _judge(self, trial: Trial, epoch: Epoch) -> str | None:
        study = self._studies[trial.method]
        if not self._pruner.prune(study, self._in_this_phase(trial, epoch)):
            return None
        # A network that has shrunk further is behind only until it is polished, so it must be
        # behind one that is no larger, too.
        is_shrinking, field = epoch.phase is Phase.SHRINK, self._fields[trial.method]
        if is_shrinking and field.find_better(trial, epoch, margin=0.0) is None:
            return None
        return (
            f"pruned in epoch {epoch.step} by {self._spec.pruner.kind.value}: "
            f"{_in_words(self._spec, epoch)}"
        )

    def _in_this_phase(self, trial: Trial, epoch: Epoch) -> FrozenTrial:
        """The trial without what it had before this phase, when its network was larger."""
        frozen = self._studies[trial.method].get_trials(deepcopy=False)[self._places[trial.id]]
        first = self._phase_began[trial.id, epoch.phase]
        if first <= min(frozen.intermediate_values):
            return frozen
        kept = {step: v for step, v in frozen.intermediate_values.items() if step >= first}
        copy = create_trial(
            state=StudyState.RUNNING,
            params={},
            distributions={},
            intermediate_values=kept,
            system_attrs=frozen.system_attrs,
        )
        copy.number, copy._trial_id = frozen.number, frozen._trial_id  # noqa: SLF001
        return copy

    def _value(self, epoch: Epoch) -> float:
        values = values_at(self._spec.objective, epoch.accuracy, epoch.size)
        assert values is not None
        assert len(values) == 1
        return values[0]

    def _handle(self, trial: Trial) -> optuna.Trial:
        study = self._studies[trial.method]
        frozen = study.get_trials(deepcopy=False)[self._places[trial.id]]
        return optuna.Trial(study, frozen._trial_id)  # noqa: SLF001


def _in_words(spec: JobSpec, epoch: Epoch) -> str:
    measure = "MACs" if spec.objective.size is SizeMeasure.MACS else "parameters"
    return f"{epoch.accuracy:.1%} with {epoch.size:,} {measure}"


def _optuna_pruner(asked: Pruner, *, epochs: int) -> BasePruner:
    match asked.kind:
        case PrunerKind.PERCENTILE:
            return PercentilePruner(asked.percentile, n_startup_trials=asked.startup_trials)
        case PrunerKind.ASHA:
            return SuccessiveHalvingPruner(
                min_resource=asked.min_epochs, reduction_factor=asked.reduction_factor
            )
        case PrunerKind.HYPERBAND:
            return HyperbandPruner(
                min_resource=asked.min_epochs,
                max_resource=max(epochs, asked.min_epochs),
                reduction_factor=asked.reduction_factor,
            )
        case PrunerKind.PATIENT:
            median = MedianPruner(n_startup_trials=asked.startup_trials)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return PatientPruner(median, asked.patience, min_delta=asked.tolerance)
        case PrunerKind.MEDIAN:
            return MedianPruner(n_startup_trials=asked.startup_trials)
        case PrunerKind.NONE | PrunerKind.DOMINATION:
            raise AssertionError(f"{asked.kind} is none of Optuna's")
