"""What is tried next: bounds, fairness, seeds, and going on after a restart."""

import warnings
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shrinknets.wire import (
    FixedL2Search,
    FixedSearch,
    IntRange,
    JobSpec,
    LogRange,
    Method,
    Methods,
    NetworkBounds,
    PathRun,
    Sampler,
    ShrinkNetsSearch,
    Trial,
    TrialRequest,
    TrialState,
)
from worker.search import JobSearch, derive_seed

MakeSpec = Callable[..., JobSpec]
MakeTrial = Callable[..., Trial]


def run_search(search: JobSearch, make_trial: MakeTrial) -> list[TrialRequest]:
    """Ask for everything, and tell an accuracy that follows from the parameters."""
    requests = []
    while (request := search.propose()) is not None:
        requests.append(request)
        search.tell(make_trial(request, validation_accuracy=score(request)))
    return requests


def score(request: TrialRequest) -> float:
    return (derive_seed(0, request.method, request.number, purpose="score") % 1000) / 1000


@st.composite
def fixed_l2_specs(draw: st.DrawFn) -> JobSpec:
    widths = draw(st.lists(st.integers(1, 300), min_size=1, max_size=4))
    depth = draw(st.none() | ranges(1, len(widths)))
    width = draw(st.none() | ranges(1, min(widths)))
    search = FixedL2Search(trials=3, depth=depth, width=width, l2=LogRange(low=1e-5, high=1e-3))
    return JobSpec(
        dataset="digits",
        network=NetworkBounds(widths=tuple(widths)),
        methods=Methods(fixed_l2=search),
        sampler=draw(st.sampled_from(Sampler)),
        seed=draw(st.integers(0, 2**31 - 1)),
    )


def ranges(low: int, high: int) -> st.SearchStrategy[IntRange]:
    pairs = st.tuples(st.integers(low, high), st.integers(low, high))
    return pairs.map(lambda pair: IntRange(low=min(pair), high=max(pair)))


@settings(max_examples=60, deadline=None)
@given(fixed_l2_specs())
def test_depth_widths_and_l2_stay_within_their_bounds(spec: JobSpec) -> None:
    search = JobSearch(spec)
    asked = spec.methods.fixed_l2
    assert asked is not None
    while (request := search.propose()) is not None:
        depth = request.params["depth"]
        assert isinstance(depth, int)
        limits = asked.depth or IntRange(low=1, high=len(spec.network.widths))
        assert limits.low <= depth <= limits.high
        assert set(request.params) == {"depth", "l2", *(f"width_{i}" for i in range(depth))}
        for layer, bound in enumerate(spec.network.widths[:depth]):
            width = asked.width or IntRange(low=min(4, bound), high=bound)
            assert width.low <= request.params[f"width_{layer}"] <= width.high
        assert 1e-5 <= request.params["l2"] <= 1e-3


def test_lambda_stays_within_its_range_and_covers_it(make_trial: MakeTrial) -> None:
    methods = Methods(shrinknets=ShrinkNetsSearch(trials=40, lam=LogRange(low=1e-4, high=1e-1)))
    spec = JobSpec(dataset="digits", methods=methods, sampler=Sampler.RANDOM)
    lams = [request.params["lam"] for request in run_search(JobSearch(spec), make_trial)]
    assert all(1e-4 <= lam <= 1e-1 for lam in lams)
    assert sum(lam < 10**-2.5 for lam in lams) in range(10, 31)


def test_a_path_has_no_parameters_but_seeds_of_its_own(make_trial: MakeTrial) -> None:
    spec = JobSpec(dataset="digits", methods=Methods(path=PathRun(trials=3)))
    requests = run_search(JobSearch(spec), make_trial)
    assert [request.params for request in requests] == [{}, {}, {}]
    assert len({request.seed for request in requests}) == 3


def test_methods_take_turns_until_each_has_had_its_number(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    methods = Methods(fixed=FixedSearch(trials=3), path=PathRun(trials=1))
    requests = run_search(JobSearch(make_spec(methods=methods)), make_trial)
    order = [(request.method.value, request.number) for request in requests]
    assert order == [("path", 0), ("fixed", 0), ("fixed", 1), ("fixed", 2)]


@pytest.mark.parametrize("sampler", Sampler)
@pytest.mark.parametrize("stop_after", [0, 1, 5, 20])
def test_a_restart_gives_the_same_trials(
    make_spec: MakeSpec, make_trial: MakeTrial, sampler: Sampler, stop_after: int
) -> None:
    methods = Methods(
        shrinknets=ShrinkNetsSearch(trials=14), fixed=FixedSearch(trials=14), path=PathRun()
    )
    spec = make_spec(methods=methods, sampler=sampler)
    whole = run_search(JobSearch(spec), make_trial)
    known = [make_trial(request, validation_accuracy=score(request)) for request in whole]
    rest = run_search(JobSearch(spec, known[:stop_after]), make_trial)
    assert rest == whole[stop_after:]


def test_after_a_restart_an_unfinished_trial_is_not_asked_anew_and_can_be_told(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    spec = make_spec(methods=Methods(fixed=FixedSearch(trials=3)))
    search = JobSearch(spec)
    first, second = search.propose(), search.propose()
    assert first is not None
    assert second is not None
    unfinished = make_trial(first, state=TrialState.WAITING, validation_accuracy=None)
    resumed = JobSearch(spec, [unfinished, make_trial(second)])
    third = resumed.propose()
    assert third is not None
    assert third.number == 2
    resumed.tell(make_trial(first))
    assert resumed.propose() is None


def test_trials_that_failed_or_collapsed_do_not_disturb_the_search(
    make_spec: MakeSpec, make_trial: MakeTrial
) -> None:
    spec = make_spec(methods=Methods(shrinknets=ShrinkNetsSearch(trials=15)))
    search = JobSearch(spec)
    proposed: list[int] = []
    states = [TrialState.INFEASIBLE, TrialState.FAILED, TrialState.COMPLETE]
    while (request := search.propose()) is not None:
        state = states[request.number % 3]
        accuracy = None if state is TrialState.FAILED else 0.5
        search.tell(make_trial(request, state=state, validation_accuracy=accuracy))
        proposed.append(request.number)
    assert proposed == list(range(15))


def test_seeds_are_the_same_everywhere_and_for_ever() -> None:
    assert derive_seed(0, Method.FIXED, 0, purpose="trial") == 852091370
    seeds = {
        derive_seed(job, method, number, purpose="trial")
        for job in range(5)
        for method in Method
        for number in range(50)
    }
    assert len(seeds) == 5 * len(Method) * 50
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_search_is_quiet(
    make_spec: MakeSpec, make_trial: MakeTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_search(JobSearch(make_spec(sampler=Sampler.TPE)), make_trial)
    assert capfd.readouterr() == ("", "")
