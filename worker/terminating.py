"""When a search is enough: no gain of late, or none to be expected."""

import warnings
from collections.abc import Sequence

from optuna.study import Study
from optuna.terminator import RegretBoundEvaluator
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as StudyState

from shrinknets.wire import Terminator, TerminatorKind
from worker.sampling import GP_TRIALS


def enough_because(terminator: Terminator, study: Study) -> str:
    """Why no further configuration is worth its training, in words; empty where one is."""
    if terminator.kind is TerminatorKind.NONE:
        return ""
    ended = study.get_trials(deepcopy=False, states=(StudyState.COMPLETE, StudyState.PRUNED))
    complete = [trial for trial in ended if trial.state is StudyState.COMPLETE]
    if len(ended) <= terminator.patience or not complete or not complete[0].distributions:
        return ""
    bounds_regret = terminator.kind is TerminatorKind.REGRET and len(complete) <= GP_TRIALS
    if bounds_regret:
        regret = _regret(study, complete)
        if regret >= terminator.min_gain:
            return ""
        return f"no more than {regret:.2g} was still to be gained"
    gain = _recent_gain(ended, num_recent=terminator.patience)
    if gain >= terminator.min_gain:
        return ""
    return f"the last {terminator.patience} configurations gained {gain:.2g}"


def _regret(study: Study, complete: Sequence[FrozenTrial]) -> float:
    """An upper bound, by a Gaussian process, of how far the best one is from the optimum."""
    with warnings.catch_warnings():
        # Experimental, and its module may move to another package.
        warnings.simplefilter("ignore")
        evaluator = RegretBoundEvaluator(seed=len(complete))
        return float(evaluator.evaluate(list(complete), study.direction))


def _recent_gain(ended: Sequence[FrozenTrial], *, num_recent: int) -> float:
    """What the last configurations, by number, added to the best of those before."""
    before, after = _worth(ended[:-num_recent], ended), _worth(ended, ended)
    return after - before


def _worth(trials: Sequence[FrozenTrial], all_of_them: Sequence[FrozenTrial]) -> float:
    """The best value; of two objectives the area that their frontier dominates."""
    values = [trial.values for trial in trials if trial.state is StudyState.COMPLETE]
    if not values:
        return float("-inf")
    if len(values[0]) == 1:
        return float(max(value for (value,) in values))
    known = [trial.values[1] for trial in all_of_them if trial.state is StudyState.COMPLETE]
    return _dominated_area(values, largest=max(known), smallest=min(known))


def _dominated_area(values: Sequence[Sequence[float]], *, largest: float, smallest: float) -> float:
    """Of accuracy times size, both from 0 to 1; sizes are logarithms."""
    span = largest - smallest or 1.0
    area, reached = 0.0, 0.0
    for accuracy, size in sorted(values, key=lambda pair: pair[1]):
        if accuracy > reached:
            area += (accuracy - reached) * (largest - size) / span
            reached = accuracy
    return area
