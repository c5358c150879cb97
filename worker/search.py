"""What a job's search tries next: one Optuna study per method, rebuilt from the trials."""

import hashlib
import warnings
from collections.abc import Iterable

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import TrialState as StudyState

from shrinknets.wire import (
    FixedL2Search,
    FixedSearch,
    JobSpec,
    LogRange,
    Method,
    Params,
    Sampler,
    Trial,
    TrialRequest,
    TrialState,
)

_LEAST_WIDTH = 4


def derive_seed(job_seed: int, method: Method, number: int, *, purpose: str) -> int:
    """A seed below 2**31 that depends on nothing else, so that any trial can be run again."""
    text = f"{purpose}/{job_seed}/{method.value}/{number}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


class JobSearch:
    """Proposes the trials of a job, fairly among its methods."""

    def __init__(self, spec: JobSpec, trials: Iterable[Trial] = ()) -> None:
        """Take up the search where `trials`, in the order of their creation, left it."""
        self._spec = spec
        self._searches = {
            method: MethodSearch(spec, method, count)
            for method, count in spec.methods.chosen().items()
        }
        for trial in sorted(trials, key=lambda trial: trial.number):
            self._searches[trial.method].restore(trial)

    def propose(self) -> TrialRequest | None:
        """The next new trial, or None when every method has had its number.

        The method that is furthest behind comes next, which is round robin, restarts included.
        """
        unfinished = [search for search in self._searches.values() if search.num_left > 0]
        if not unfinished:
            return None
        return min(unfinished, key=lambda search: search.num_asked).ask()

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that ended."""
        self._searches[trial.method].tell(trial)


class MethodSearch:
    """The search of one method; trial numbers are the study's own."""

    def __init__(self, spec: JobSpec, method: Method, num_trials: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec = spec
        self._method = method
        self._num_trials = num_trials
        self._study = optuna.create_study(direction="maximize", sampler=RandomSampler(seed=0))

    @property
    def num_asked(self) -> int:
        return len(self._study.get_trials(deepcopy=False))

    @property
    def num_left(self) -> int:
        return self._num_trials - self.num_asked

    def ask(self) -> TrialRequest:
        number = self.num_asked
        seed = self._spec.seed
        # A sampler of its own per trial: a restart then neither repeats nor changes a proposal.
        self._study.sampler = _make_sampler(
            self._spec.sampler, derive_seed(seed, self._method, number, purpose="sampler")
        )
        params = suggest(self._study.ask(), self._spec, self._method)
        return TrialRequest(
            method=self._method,
            number=number,
            params=params,
            seed=derive_seed(seed, self._method, number, purpose="trial"),
        )

    def restore(self, trial: Trial) -> None:
        """Add a trial that the service knows already; they must come by rising number."""
        assert trial.number == self.num_asked, (trial.number, self.num_asked)
        self._study.enqueue_trial(dict(trial.params))
        suggest(self._study.ask(), self._spec, self._method)
        if trial.state.is_final:
            self.tell(trial)

    def tell(self, trial: Trial) -> None:
        accuracy = trial.validation_accuracy
        useful = {TrialState.COMPLETE, TrialState.INFEASIBLE, TrialState.PRUNED}
        if trial.state in useful and accuracy is not None:
            self._study.tell(trial.number, accuracy)
        else:
            self._study.tell(trial.number, state=StudyState.FAIL)


def suggest(trial: optuna.Trial, spec: JobSpec, method: Method) -> Params:
    """The parameters that the study proposes for a trial of this method."""
    match method:
        case Method.SHRINKNETS:
            assert spec.methods.shrinknets is not None
            return {"lam": _log_uniform(trial, "lam", spec.methods.shrinknets.lam)}
        case Method.PATH:
            return {}
        case Method.FIXED:
            assert spec.methods.fixed is not None
            return _suggest_sizes(trial, spec, spec.methods.fixed)
        case Method.FIXED_L2:
            search = spec.methods.fixed_l2
            assert isinstance(search, FixedL2Search)
            sizes = _suggest_sizes(trial, spec, search)
            return {**sizes, "l2": _log_uniform(trial, "l2", search.l2)}
        case Method.RETRAIN | Method.FINE_TUNE:
            raise AssertionError(f"{method.value} searches nothing")


def _suggest_sizes(trial: optuna.Trial, spec: JobSpec, search: FixedSearch) -> Params:
    bounds = spec.network.widths
    low, high = (search.depth.low, search.depth.high) if search.depth else (1, len(bounds))
    depth = trial.suggest_int("depth", low, high)
    sizes: Params = {"depth": depth}
    for layer, bound in enumerate(bounds[:depth]):
        low, high = min(_LEAST_WIDTH, bound), bound
        if search.width is not None:
            low, high = search.width.low, search.width.high
        sizes[f"width_{layer}"] = trial.suggest_int(f"width_{layer}", low, high, log=True)
    return sizes


def _log_uniform(trial: optuna.Trial, name: str, limits: LogRange) -> float:
    return trial.suggest_float(name, limits.low, limits.high, log=True)


def _make_sampler(sampler: Sampler, seed: int) -> BaseSampler:
    match sampler:
        case Sampler.RANDOM:
            return RandomSampler(seed=seed)
        case Sampler.TPE:
            with warnings.catch_warnings():
                # `group` is what makes widths that only deep networks have part of the model.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                return TPESampler(seed=seed, multivariate=True, group=True)
