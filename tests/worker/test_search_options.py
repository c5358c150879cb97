"""Fixed parameters, limits, budgets, repeats, earlier trials and ends of a search."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shrinknets.wire import DatasetDetails, JobSpec, Method, Params, Sampler, Trial, TrialState
from shrinknets_core import load_dataset
from shrinknets_core.families import mlp_family
from worker.counting import make_fits
from worker.objectives import values_of
from worker.overseeing import training_rows
from worker.search import JobSearch
from worker.sobol import SobolSampler

MakeTrial = Callable[..., Trial]


def spec_of(methods: dict[str, Any], **more: Any) -> JobSpec:
    return JobSpec.model_validate({"dataset": "digits", "methods": methods, "seed": 1, **more})


def run(search: JobSearch, make_trial: MakeTrial, **ended: Any) -> list[Params]:
    found = []
    while (request := search.propose()) is not None:
        found.append(request.params)
        search.tell(make_trial(request, macs=90, **ended))
    return found


def test_what_is_fixed_is_not_searched_and_reaches_the_trial(make_trial: MakeTrial) -> None:
    fix = {"depth": 2, "width_0": 40, "lr": 0.01}
    search = {"trials": 5, "fix": fix, "batch_size": [16, 32], "weight_decay": RANGE}
    for params in run(JobSearch(spec_of({"fixed": search})), make_trial):
        assert {name: params[name] for name in fix} == fix
        assert params["batch_size"] in {16, 32}
        assert 1e-5 <= float(str(params["weight_decay"])) <= 1e-2


RANGE = {"low": 1e-5, "high": 1e-2}


@pytest.mark.parametrize("sampler", Sampler)
def test_starting_points_come_first_and_are_filled_up(
    make_trial: MakeTrial, sampler: Sampler
) -> None:
    start = [{"lam": 0.004, "lr": 0.001}, {"lam": 0.002}]
    search = {"trials": 4, "lr": RANGE, "start": start}
    found = run(JobSearch(spec_of({"shrinknets": search}, sampler=sampler)), make_trial)
    assert found[0] == start[0]
    assert found[1]["lam"] == 0.002
    assert 1e-5 <= float(str(found[1]["lr"])) <= 1e-2
    assert len(found) == 4


def digits() -> DatasetDetails:
    fields: dict[str, Any] = {"name": "digits", "source": "built_in", "rows": 1797}
    fields |= {"test_rows": None, "input_shape": [64], "num_classes": 10, "dtype": "float32"}
    fields |= {"size_bytes": None, "sha256": None, "owner": "", "created_at": "2026-01-01T00:00Z"}
    return DatasetDetails.model_validate(
        {**fields, "class_counts": [180] * 10, "num_jobs": 0, "jobs": []}
    )


@pytest.mark.parametrize("sampler", Sampler)
def test_candidates_over_a_limit_are_passed_over_without_being_trials(
    make_trial: MakeTrial, sampler: Sampler
) -> None:
    spec = spec_of({"fixed": {"trials": 8}}, sampler=sampler, constraints={"max_parameters": 2000})
    fits = make_fits(spec, digits())
    assert fits is not None
    found = run(JobSearch(spec, fits=fits), make_trial)
    assert len(found) == 8
    assert all(fits(Method.FIXED, params) for params in found)
    assert not fits(Method.FIXED, {"depth": 1, "width_0": 200})
    assert run(JobSearch(spec, fits=fits), make_trial) == found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=3), st.integers(1, 5000))
def test_counting_agrees_with_the_core(widths: list[int], limit: int) -> None:
    size = mlp_family().size((64,), widths, 10)
    params: Params = {"depth": len(widths)}
    params |= {f"width_{layer}": width for layer, width in enumerate(widths)}
    for name, has in (("max_parameters", size.parameters), ("max_macs", size.macs)):
        fits = make_fits(spec_of({"fixed": {}}, constraints={name: limit}), digits())
        assert fits is not None
        assert fits(Method.FIXED, params) == (has <= limit)


def test_a_search_in_which_nothing_fits_ends_in_words(make_trial: MakeTrial) -> None:
    spec = spec_of({"fixed": {}, "path": {}}, constraints={"max_macs": 10})
    search = JobSearch(spec, fits=make_fits(spec, digits()))
    assert run(search, make_trial) == [{}]
    assert search.notes() == ["fixed: 200 candidates in a row were over a limit"]


def test_a_budget_of_trials_holds_across_methods_and_restarts(make_trial: MakeTrial) -> None:
    spec = spec_of({"fixed": {}, "shrinknets": {}}, budget={"trials": 5})
    search = JobSearch(spec)
    requests = [search.propose() for _ in range(3)]
    known = [make_trial(request) for request in requests if request is not None]
    again = JobSearch(spec, known)
    assert len(run(again, make_trial)) == 2
    assert again.notes() == ["the budget of 5 trials was used up"]


def test_repeats_share_parameters_and_their_mean_is_told(make_trial: MakeTrial) -> None:
    spec = spec_of({"shrinknets": {"trials": 2}}, repeats=3)
    search = JobSearch(spec)
    requests = [request for _ in range(6) if (request := search.propose()) is not None]
    assert [request.number for request in requests] == list(range(6))
    assert len({request.seed for request in requests}) == 6
    assert requests[0].params == requests[2].params != requests[3].params
    for request, accuracy in zip(requests, [0.9, 0.8, 0.7, 0.5, 0.5, 0.5], strict=True):
        search.tell(make_trial(request, validation_accuracy=accuracy))
    study = search.searches[Method.SHRINKNETS].study
    assert [trial.value for trial in study.trials] == pytest.approx([0.8, 0.5])


def test_a_configuration_is_not_repeated_once_one_training_was_pruned(
    make_trial: MakeTrial,
) -> None:
    search = JobSearch(spec_of({"shrinknets": {"trials": 3}}, repeats=2))
    first = search.propose()
    assert first is not None
    search.tell(make_trial(first, state=TrialState.PRUNED, epochs=3))
    second = search.propose()
    assert second is not None
    assert second.number == 2
    assert [len(run(search, make_trial)), search.propose()] == [3, None]


def test_earlier_trials_are_known_if_they_fit(make_trial: MakeTrial) -> None:
    first = JobSearch(spec_of({"shrinknets": {"trials": 6}}))
    earlier = []
    while (request := first.propose()) is not None:
        earlier.append(make_trial(request, validation_accuracy=0.5))
        first.tell(earlier[-1])
    middle = sorted(float(str(trial.params["lam"])) for trial in earlier)[3]
    narrow = spec_of({"shrinknets": {"trials": 1, "lam": {"low": 1e-3, "high": middle}}})
    search = JobSearch(narrow, earlier=earlier)
    (note,) = search.notes()
    assert note.startswith("shrinknets knew 4 trials of earlier jobs, 2 did not fit")
    assert len(search.searches[Method.SHRINKNETS].study.trials) == 4
    assert len(run(search, make_trial)) == 1


@pytest.mark.parametrize("kind", ["stagnation", "regret"])
def test_a_search_that_gains_no_more_is_ended(make_trial: MakeTrial, kind: str) -> None:
    terminator = {"kind": kind, "patience": 5, "min_gain": 0.01}
    spec = spec_of({"shrinknets": {"trials": 40}}, terminator=terminator)
    search = JobSearch(spec)
    found = run(search, make_trial, validation_accuracy=0.9)
    assert 5 < len(found) < 40
    (note,) = search.notes()
    assert "gained 0" in note or "still to be gained" in note


def test_with_two_objectives_the_dominated_area_tells_what_was_gained(
    make_trial: MakeTrial,
) -> None:
    spec = spec_of(
        {"shrinknets": {"trials": 30}},
        objective={"kind": "accuracy_and_size"},
        terminator={"kind": "stagnation", "patience": 6},
    )
    search, number = JobSearch(spec), 0
    while (request := search.propose()) is not None:
        number += 1
        # Smaller and better until the eleventh, and the same from then on.
        better = min(number, 11)
        size = 10_000 // 2**better
        search.tell(make_trial(request, validation_accuracy=0.05 * better, parameters=size))
    assert number == 11 + 6


def test_objectives_in_numbers(make_trial: MakeTrial) -> None:
    request = JobSearch(spec_of({"path": {}})).propose()
    assert request is not None
    trial = make_trial(request, validation_accuracy=0.9, parameters=1000, macs=100)
    both = spec_of({"path": {}}, objective={"kind": "accuracy_and_size", "size": "macs"})
    mix = spec_of({"path": {}}, objective={"kind": "mix", "weight": 0.1})
    assert values_of(both.objective, trial) == [0.9, pytest.approx(2.0)]
    assert values_of(mix.objective, trial) == [pytest.approx(0.6)]
    assert values_of(mix.objective, trial.model_copy(update={"parameters": None})) is None


def test_training_rows_are_those_that_the_core_trains_on() -> None:
    assert training_rows(digits()) == len(load_dataset("digits", seed=0).train)


def test_a_sobol_sequence_covers_each_dimension_evenly(make_trial: MakeTrial) -> None:
    spec = spec_of({"fixed": {"trials": 16}}, sampler="qmc")
    depths = [params["depth"] for params in run(JobSearch(spec), make_trial)]
    assert depths.count(1) == depths.count(2) == 8
    assert isinstance(SobolSampler({}, seed=0).sample_relative(None, None, {}), dict)  # type: ignore[arg-type]
