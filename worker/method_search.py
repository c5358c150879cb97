"""The search of one method: an Optuna study in memory, rebuilt from the service's trials."""

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

import optuna
from optuna.trial import FixedTrial, FrozenTrial, create_trial
from optuna.trial import TrialState as StudyState

from shrinknets.wire import JobSpec, Method, Params, Sampler, Trial, TrialRequest, TrialState
from worker.objectives import directions_of, values_of, violations_of
from worker.sampling import KEEPING_STATE, SearchSpace, forget_what_was_not_used, make_sampler
from worker.seeds import derive_seed
from worker.spaces import SpaceReader, Suggesting
from worker.telling import conclude
from worker.terminating import enough_because

Suggest = Callable[[Suggesting, JobSpec, Method], Params]
Fits = Callable[[Params], bool]

MAX_DRAWS = 200
"""So many candidates in a row over a limit, and no other is looked for."""
GUIDED_DRAWS = 20
"""So many of them are the sampler's; it may insist on what does not fit."""

_NEVER = datetime.max.replace(tzinfo=UTC)


class MethodSearch:
    """Proposes a method's configurations, each to be trained `repeats` times, and learns of them.

    Trial numbers count trainings: configuration c has the numbers c · repeats and following.
    """

    def __init__(
        self,
        spec: JobSpec,
        method: Method,
        *,
        suggest: Suggest,
        fits: Fits | None = None,
        earlier: Iterable[Trial] = (),
    ) -> None:
        """Begin a search.

        Args:
            spec: of the job.
            method: one that the job runs.
            suggest: asks a trial for the method's parameters.
            fits: whether a candidate keeps the job's limits, as far as counting tells.
            earlier: trials of other jobs, to know from the start.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._spec = spec
        self._method = method
        self._suggest = suggest
        self._fits = fits
        self._repeats = spec.repeats
        self._planned = spec.methods.search_of(method).trials
        self._start = getattr(spec.methods.search_of(method), "start", ())
        self._space = SearchSpace(
            always=self._read_space(at_high_end=False), whole=self._read_space(at_high_end=True)
        )
        self.study = optuna.create_study(
            directions=directions_of(spec.objective), study_name=method.value
        )
        self.left_out: list[tuple[Trial, str]] = []
        """Earlier trials that do not belong into this search, with the reason."""
        self.num_earlier = 0
        self.exhausted_because = ""
        """Why no further configuration will be proposed; empty while they are."""
        self.enough_because = ""
        """Why none is proposed as things stand."""
        self._is_unjudged = True
        self._params: list[Params] = []
        self._study_numbers: list[int] = []
        self._next_number = 0
        self._open: dict[int, set[int]] = defaultdict(set)
        self._ended: dict[int, list[Trial]] = defaultdict(list)
        self._learned: list[int] = []
        for trial in earlier:
            self._take_over(trial)

    @property
    def num_asked(self) -> int:
        """Trainings that were proposed, or passed over because an earlier one was pruned."""
        return self._next_number

    @property
    def num_left(self) -> int:
        return 0 if self.exhausted_because else self._planned * self._repeats - self._next_number

    def ask(self) -> TrialRequest | None:
        """The next training, or None where there is to be none, at least for now."""
        assert self.num_left > 0, "nothing is left to ask for"
        self._pass_over_pruned()
        if self.num_left <= 0:
            return None
        number, configuration = self._next_number, self._next_number // self._repeats
        if configuration == len(self._params) and (self._is_enough() or not self._propose()):
            return None
        self._note(number)
        learned, self._learned = tuple(self._learned), []
        return TrialRequest(
            method=self._method,
            number=number,
            params=self._params[configuration],
            seed=derive_seed(self._spec.seed, self._method, number, purpose="trial"),
            learned=learned,
        )

    def restore(self, trials: Sequence[Trial]) -> None:
        """Take up the search where the method's trials, by rising number, left it."""
        if self._spec.sampler in KEEPING_STATE:
            self._replay(trials)
        else:
            for trial in trials:
                self._adopt(trial)
        known = {number for trial in trials for number in trial.learned}
        ended = [trial for trial in trials if trial.state.is_final]
        for trial in sorted(ended, key=lambda t: (t.ended_at or _NEVER, t.number)):
            self.tell(trial)
        self._learned = [number for number in self._learned if number not in known]

    def tell(self, trial: Trial) -> None:
        """Learn from a training that ended; telling it once more changes nothing."""
        configuration = trial.number // self._repeats
        unfinished = self._open[configuration]
        if trial.number not in unfinished:
            return
        unfinished.remove(trial.number)
        self._learned.append(trial.number)
        ended = self._ended[configuration]
        ended.append(trial)
        was_pruned = any(one.state is TrialState.PRUNED for one in ended)
        if not unfinished and (len(ended) == self._repeats or was_pruned):
            self._conclude(configuration, self._ended.pop(configuration))

    def stop(self, reason: str) -> None:
        """Propose nothing more."""
        self.exhausted_because = self.exhausted_because or reason

    def note_of_earlier(self) -> str:
        """What became of the trials of earlier jobs, in words; empty where there were none."""
        if not self.num_earlier and not self.left_out:
            return ""
        note = f"{self._method.value} knew {self.num_earlier} trials of earlier jobs"
        if self.left_out:
            trial, why = self.left_out[0]
            num_left_out = len(self.left_out)
            note += f", {num_left_out} did not fit its search space, such as {trial.params}: {why}"
        return note

    def _read_space(self, *, at_high_end: bool) -> dict[str, optuna.distributions.BaseDistribution]:
        reader = SpaceReader(at_high_end=at_high_end)
        self._suggest(reader, self._spec, self._method)
        return reader.space

    def _is_enough(self) -> bool:
        # Judged anew with each result: a trial that still ran may bring the gain that was missed.
        if self._is_unjudged:
            self.enough_because = enough_because(self._spec.terminator, self.study)
            self._is_unjudged = False
        return bool(self.enough_because)

    def _note(self, number: int) -> None:
        self._open[number // self._repeats].add(number)
        self._next_number = number + 1

    def _pass_over_pruned(self) -> None:
        """A configuration of which one training was pruned is not trained once more."""
        configuration, repeat = divmod(self._next_number, self._repeats)
        ended = self._ended.get(configuration, [])
        is_concluded = repeat > 0 and not self._open[configuration] and not ended
        if is_concluded or any(trial.state is TrialState.PRUNED for trial in ended):
            self._next_number = (configuration + 1) * self._repeats

    def _propose(self, recorded: Params | None = None) -> bool:
        """Add a configuration; where `recorded` is given it gets these parameters."""
        configuration = len(self._params)
        for turn in range(MAX_DRAWS):
            if turn == 0 and configuration < len(self._start):
                self.study.enqueue_trial(dict(self._start[configuration]))
            self._set_sampler(configuration, turn)
            trial = self.study.ask()
            params = self._suggest(trial, self._spec, self._method)
            forget_what_was_not_used(self.study, trial)
            if self._fits is None or self._fits(params):
                self._add(params, trial.number)
                if recorded is not None and recorded != params:
                    self._correct(trial, recorded)
                return True
            self.study.tell(trial, state=StudyState.FAIL)
        self.stop(f"{MAX_DRAWS} candidates in a row were over a limit")
        return False

    def _set_sampler(self, configuration: int, turn: int) -> None:
        # A sampler of its own per proposal: a restart then neither repeats nor changes one.
        purpose = "sampler" if turn == 0 else f"sampler/{turn}"
        seed, is_guided = self._spec.seed, turn < GUIDED_DRAWS
        self.study.sampler = make_sampler(
            self._spec.sampler if is_guided else Sampler.RANDOM,
            self._space,
            seed=derive_seed(seed, self._method, configuration, purpose=purpose),
            job_seed=derive_seed(seed, self._method, 0, purpose="sequence"),
            known=self.num_earlier + configuration,
            planned=self._planned,
        )

    def _add(self, params: Params, study_number: int) -> None:
        self._params.append(params)
        self._study_numbers.append(study_number)

    def _correct(self, trial: optuna.Trial, recorded: Params) -> None:
        """Put what was recorded in the place of what another version proposes."""
        attributes = self.study.get_trials(deepcopy=False)[trial.number].system_attrs
        self.study.tell(trial, state=StudyState.FAIL)
        self._params.pop()
        self._study_numbers.pop()
        self._add_running(recorded, attributes)

    def _add_running(self, params: Params, attributes: Mapping[str, object]) -> None:
        frozen = self._frozen(params, StudyState.RUNNING, system_attrs=dict(attributes))
        self._add(params, len(self.study.get_trials(deepcopy=False)))
        self.study.add_trial(frozen)

    def _frozen(self, params: Params, state: StudyState, **fields: object) -> FrozenTrial:
        """Raises ValueError where a parameter is missing or outside of the search space."""
        fixed = FixedTrial(dict(params))
        with warnings.catch_warnings():
            # It only warns of what is out of range, and leaves it to `create_trial` to refuse it.
            warnings.simplefilter("ignore")
            self._suggest(fixed, self._spec, self._method)
        return create_trial(
            state=state,
            params=fixed.params,
            distributions=fixed.distributions,
            **fields,  # type: ignore[arg-type]
        )

    def _replay(self, trials: Sequence[Trial]) -> None:
        """Ask and tell in the order in which it was done."""
        by_number = {trial.number: trial for trial in trials}
        for trial in trials:
            for number in trial.learned:
                if number in by_number and by_number[number].state.is_final:
                    self.tell(by_number[number])
            if trial.number // self._repeats == len(self._params):
                self._propose(trial.params)
            self._note(trial.number)

    def _adopt(self, trial: Trial) -> None:
        """Add a trial as it is: with these samplers only results count."""
        if trial.number // self._repeats == len(self._params):
            self._add_running(trial.params, {})
        self._note(trial.number)

    def _take_over(self, trial: Trial) -> None:
        values = values_of(self._spec.objective, trial)
        if trial.state is not TrialState.COMPLETE or values is None:
            return
        constraints = violations_of(self._spec.constraints, [trial]) or None
        try:
            frozen = self._frozen(
                trial.params, StudyState.COMPLETE, values=values, constraints=constraints
            )
        except ValueError as error:
            self.left_out.append((trial, str(error)))
            return
        self.study.add_trial(frozen)
        self.num_earlier += 1

    def _conclude(self, configuration: int, ended: Sequence[Trial]) -> None:
        self._is_unjudged = True
        conclude(self.study, self._study_numbers[configuration], self._spec, ended)
