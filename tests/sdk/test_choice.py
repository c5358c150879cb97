"""A job's network is chosen by its rule, on validation alone."""

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shrinknets.choice import Candidate, choose, standard_error
from shrinknets.splits import validation_rows
from shrinknets.wire import ChoiceRule, ChoiceSpec
from shrinknets_core import dataset_names, load_dataset, split_rows

candidates = st.lists(
    st.builds(
        Candidate,
        id=st.uuids().map(str),
        parameters=st.integers(1, 9),
        macs=st.integers(1, 9),
        validation_accuracy=st.sampled_from([0.0, 0.5, 0.7, 0.9, 0.91, 1.0]),
    ),
    max_size=12,
)


def candidate(parameters: int, accuracy: float, macs: int = 1) -> Candidate:
    name = f"{parameters}@{accuracy}"
    return Candidate(id=name, parameters=parameters, macs=macs, validation_accuracy=accuracy)


def chosen_id(found: list[Candidate], rows: int | None = 100, **rule: object) -> str:
    verdict = choose(found, ChoiceSpec.model_validate(rule), validation_rows=rows)
    assert verdict is not None
    return verdict.id


def test_the_choice_is_not_told_how_networks_do_on_the_test_rows() -> None:
    assert {field.name for field in fields(Candidate)} == {
        "id",
        "parameters",
        "macs",
        "latency_ms",
        "validation_accuracy",
    }


def test_nothing_is_chosen_of_nothing() -> None:
    assert choose([], ChoiceSpec(), validation_rows=9) is None


def test_by_default_the_most_accurate_is_chosen_and_the_smaller_of_equals() -> None:
    found = [candidate(9, 0.9), candidate(7, 0.95), candidate(5, 0.95), candidate(1, 0.6)]
    assert chosen_id(found) == "5@0.95"


def test_one_standard_error_takes_the_smallest_that_validation_cannot_tell_from_the_best() -> None:
    # √(0.9 · 0.1 / 100) is 0.03.
    found = [candidate(9, 0.9), candidate(5, 0.87), candidate(3, 0.8699), candidate(1, 0.5)]
    assert chosen_id(found, rule="one_standard_error") == "5@0.87"
    verdict = choose(found, ChoiceSpec(rule=ChoiceRule.ONE_STANDARD_ERROR), validation_rows=100)
    assert verdict is not None
    assert verdict.standard_error == pytest.approx(0.03)
    assert verdict.most_accurate_id == "9@0.9"
    assert verdict.reason == (
        "of 4 networks the smallest of 2 within 3.00 points, one standard error, of the most "
        "accurate (90.00% on validation)"
    )


def test_more_validation_rows_leave_less_room_for_smaller_networks() -> None:
    found = [candidate(9, 0.9), candidate(5, 0.87)]
    assert chosen_id(found, rows=1000, rule="one_standard_error") == "9@0.9"


def test_the_standard_error_without_the_number_of_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="number of validation rows"):
        chosen_id([candidate(1, 0.5)], rows=None, rule="one_standard_error")


def test_the_smallest_network_needs_an_accuracy_to_have() -> None:
    found = [candidate(9, 0.9), candidate(5, 0.87), candidate(1, 0.5)]
    assert chosen_id(found, rule="smallest", min_validation_accuracy=0.8) == "5@0.87"
    with pytest.raises(ValidationError, match=r"choice\.min_validation_accuracy"):
        ChoiceSpec(rule=ChoiceRule.SMALLEST)


def test_limits_choose_first() -> None:
    found = [candidate(9, 0.9, macs=4), candidate(8, 0.8, macs=9), candidate(5, 0.7, macs=1)]
    assert chosen_id(found, max_parameters=8) == "8@0.8"
    assert chosen_id(found, max_macs=4) == "9@0.9"
    assert chosen_id(found, max_parameters=8, max_macs=4) == "5@0.7"


def test_where_no_network_meets_the_limits_the_closest_is_chosen_and_told() -> None:
    found = [candidate(9, 0.9), candidate(6, 0.7)]
    verdict = choose(found, ChoiceSpec(max_parameters=5), validation_rows=100)
    assert verdict is not None
    assert (verdict.id, verdict.is_feasible) == ("6@0.7", False)
    assert verdict.reason == ("of 2 networks none has at most 5 parameters: this one comes closest")
    assert chosen_id(found, rule="smallest", min_validation_accuracy=0.95) == "9@0.9"


@given(candidates, st.sampled_from(ChoiceRule), st.integers(1, 9))
def test_a_choice_is_of_the_candidates_and_never_larger_than_its_rule_allows(
    found: list[Candidate], rule: ChoiceRule, limit: int
) -> None:
    spec = ChoiceSpec(rule=rule, max_parameters=limit, min_validation_accuracy=0.5)
    verdict = choose(found, spec, validation_rows=50)
    if verdict is None:
        assert not found
        return
    by_id = {one.id: one for one in found}
    chosen, best = by_id[verdict.id], by_id[verdict.most_accurate_id]
    fitting = [o for o in found if o.parameters <= limit and o.validation_accuracy >= 0.5]
    assert verdict.is_feasible == bool(fitting)
    if not fitting:
        return
    assert chosen in fitting
    assert best.validation_accuracy == max(one.validation_accuracy for one in fitting)
    least = {
        ChoiceRule.VALIDATION: best.validation_accuracy,
        ChoiceRule.SMALLEST: 0.5,
        ChoiceRule.ONE_STANDARD_ERROR: best.validation_accuracy - standard_error(best, 50),
    }[rule]
    good = [one for one in fitting if one.validation_accuracy >= least - 1e-9]
    assert chosen.parameters == min(one.parameters for one in good)


def test_the_number_of_validation_rows_is_that_of_the_real_splits() -> None:
    for name in dataset_names():
        split = load_dataset(name, seed=1)
        rows = sum(map(len, (split.train, split.validation, split.test)))
        assert validation_rows(rows, has_test_rows=False) == len(split.validation)
    for rows in range(40, 140):
        x, y = torch.randn(rows, 2), torch.arange(rows) % 2
        with_test = split_rows("own", x, y, seed=0, test=(x, y))
        assert validation_rows(rows, has_test_rows=False) == len(
            split_rows("own", x, y, seed=0).validation
        )
        assert validation_rows(rows, has_test_rows=True) == len(with_test.validation)


def test_a_network_that_makes_no_mistake_leaves_no_room() -> None:
    assert standard_error(candidate(1, 1.0), 30) == 0
    assert math.isclose(standard_error(candidate(1, 0.5), 25), 0.1)
