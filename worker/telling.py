"""Tells a study what became of a configuration."""

from collections.abc import Sequence

import optuna
from optuna.study import Study
from optuna.trial import TrialState as StudyState

from shrinknets.wire import JobSpec, Sampler, Trial, TrialState
from worker.objectives import mean_of, values_of, violations_of

_USEFUL = frozenset({TrialState.COMPLETE, TrialState.INFEASIBLE})


def conclude(study: Study, number: int, spec: JobSpec, ended: Sequence[Trial]) -> None:
    """Tell the mean of a configuration's trainings; `number` is that of the study's trial."""
    useful = [t for t in ended if t.state in _USEFUL and values_of(spec.objective, t) is not None]
    if any(trial.state is TrialState.PRUNED for trial in ended):
        _tell_pruned(study, number, spec, ended)
    elif useful:
        _constrain(study, number, spec, useful)
        values = [values for t in useful if (values := values_of(spec.objective, t)) is not None]
        study.tell(number, mean_of(values))
    else:
        study.tell(number, state=StudyState.FAIL)


def _tell_pruned(study: Study, number: int, spec: JobSpec, ended: Sequence[Trial]) -> None:
    last = max(ended, key=lambda trial: (trial.state is TrialState.PRUNED, trial.epochs))
    values = values_of(spec.objective, last)
    # Optuna takes no values of epochs where there are two objectives.
    if values is not None and len(values) == 1:
        _running(study, number).report(values[0], last.epochs)
    study.tell(number, state=StudyState.PRUNED)


def _constrain(study: Study, number: int, spec: JobSpec, useful: Sequence[Trial]) -> None:
    if spec.sampler is Sampler.CMAES:
        return  # it would warn that it ignores them
    trial = _running(study, number)
    for name, violation in violations_of(spec.constraints, useful).items():
        trial.set_constraint(name, violation)


def _running(study: Study, number: int) -> optuna.Trial:
    trial_id = study.get_trials(deepcopy=False)[number]._trial_id  # noqa: SLF001
    return optuna.Trial(study, trial_id)
