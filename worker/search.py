"""What a job's search tries next: one Optuna study per method, rebuilt from the trials."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from shrinknets.wire import (
    TRAINING_PARAMS,
    FixedL2Search,
    FixedSearch,
    JobSpec,
    Method,
    Params,
    PathRun,
    ShrinkNetsSearch,
    Trial,
    TrialRequest,
    Tuned,
)
from worker.method_search import MethodSearch
from worker.seeds import derive_seed
from worker.sizes import suggest_sizes
from worker.spaces import Asking, Suggesting

__all__ = ["JobSearch", "derive_seed", "suggest"]


class JobSearch:
    """Proposes the trials of a job, fairly among its methods."""

    def __init__(
        self,
        spec: JobSpec,
        trials: Iterable[Trial] = (),
        *,
        fits: Callable[[Method, Params], bool] | None = None,
        earlier: Iterable[Trial] = (),
    ) -> None:
        """Take up the search where `trials` left it.

        Args:
            spec: of the job.
            trials: all that the service knows of the job, in any order.
            fits: whether a candidate keeps the job's limits, as far as counting tells.
            earlier: trials of other jobs, known from the start.
        """
        self._spec = spec
        known, taken_over = _by_method(trials), _by_method(earlier)
        self.searches = {
            method: MethodSearch(
                spec,
                method,
                suggest=suggest,
                fits=None if fits is None else partial(fits, method),
                earlier=taken_over.get(method, []),
            )
            for method in spec.methods.chosen()
        }
        for method, search in self.searches.items():
            search.restore(known.get(method, []))
        self._num_announced = sum(map(len, known.values()))

    def propose(self) -> TrialRequest | None:
        """The next new trial, or None when every method has had its number.

        The method that is furthest behind comes next, which is round robin, restarts included.
        """
        limit = self._spec.budget.trials
        if limit is not None and self._num_announced >= limit:
            return None
        unfinished = [search for search in self.searches.values() if search.num_left > 0]
        for search in sorted(unfinished, key=lambda search: search.num_asked):
            if (request := search.ask()) is not None:
                self._num_announced += 1
                return request
        return None

    def tell(self, trial: Trial) -> None:
        """Learn from a trial that ended."""
        self.searches[trial.method].tell(trial)

    def stop(self, reason: str) -> None:
        """Propose nothing more."""
        for search in self.searches.values():
            search.stop(reason)

    def notes(self) -> list[str]:
        """What is to be said about the search at its end, in words."""
        ends = {
            method: reason
            for method, search in self.searches.items()
            if (reason := search.exhausted_because or search.enough_because)
        }
        limit = self._spec.budget.trials
        if len(ends) == len(self.searches) and len(set(ends.values())) == 1:
            said = [next(iter(ends.values()))]
        else:
            said = [f"{method.value}: {reason}" for method, reason in ends.items()]
        if limit is not None and self._num_announced >= limit:
            said.append(f"the budget of {limit} trials was used up")
        return said + [note for s in self.searches.values() if (note := s.note_of_earlier())]


def _by_method(trials: Iterable[Trial]) -> Mapping[Method, list[Trial]]:
    """The trials of each method by rising number, those of an earlier job first."""
    found: dict[Method, list[Trial]] = {}
    for trial in sorted(trials, key=lambda trial: (trial.number, trial.id)):
        found.setdefault(trial.method, []).append(trial)
    return found


def suggest(trial: Suggesting, spec: JobSpec, method: Method) -> Params:
    """The parameters that the study proposes for a trial of this method, user-set ones included."""
    search = spec.methods.search_of(method)
    asking = Asking(trial, search.fix)
    own: Params
    match method:
        case Method.SHRINKNETS:
            assert isinstance(search, ShrinkNetsSearch)
            own = {"lam": asking.log_uniform("lam", search.lam)}
        case Method.PATH:
            own = {}
        case Method.FIXED:
            assert isinstance(search, FixedSearch)
            own = suggest_sizes(asking, spec, search)
        case Method.FIXED_L2:
            assert isinstance(search, FixedL2Search)
            sizes = suggest_sizes(asking, spec, search)
            own = {**sizes, "l2": asking.log_uniform("l2", search.l2)}
        case Method.RETRAIN | Method.FINE_TUNE:
            raise AssertionError(f"{method.value} searches nothing")
    return {
        **own,
        **({} if isinstance(search, PathRun) else _suggest_training(asking, search)),
        **_set_by_user(own, search.fix),
    }


def _suggest_training(asking: Asking, search: Tuned) -> Params:
    found: Params = {}
    if search.lr is not None:
        found["lr"] = asking.log_uniform("lr", search.lr)
    if search.weight_decay is not None:
        found["weight_decay"] = asking.log_uniform("weight_decay", search.weight_decay)
    if search.batch_size:
        found["batch_size"] = asking.one_of("batch_size", search.batch_size)
    return found


def _set_by_user(own: Params, fix: Mapping[str, float | int]) -> Params:
    """Training parameters; of the method's own there are only those that the network has."""
    return {name: value for name, value in fix.items() if name in own or name in TRAINING_PARAMS}
