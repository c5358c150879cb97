"""Options are checked when they are made, and say what was expected."""

from typing import Any

import pytest

from shrinknets_core import OptionError, Removal, Rule, ShrinkOptions, Target


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rule", "adam"),
        ("price", "cents"),
        ("removal", "never"),
        ("step_size", 0.0),
        ("step_size", float("nan")),
        ("exponent", -0.5),
        ("warmup_steps", -1),
        ("ramp_steps", 1.5),
        ("steps_per_epoch", 0),
        ("probation_steps", -1),
        ("min_features", 0),
        ("round_to", 7),
        ("collect_share", 0.0),
        ("check_steps", 0),
        ("refresh_steps", True),
        ("removal_probability", 1.5),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"{option} must be .*, got {value}|'{value}'"):
        ShrinkOptions(**{option: value})


def test_probation_goes_with_removal_at_once_alone() -> None:
    ShrinkOptions(probation_steps=5)
    with pytest.raises(OptionError, match="removal must be 'at_once'"):
        ShrinkOptions(probation_steps=5, removal=Removal.RANDOM)


def test_names_become_members() -> None:
    assert ShrinkOptions(rule="subgradient").rule is Rule.SUBGRADIENT  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "measures",
    [
        {},
        {"parameters": 10, "macs": 10},
        {"features": 0},
        {"macs": 5, "rate": 1.0},
        {"macs": 5, "first_lam": 0},
    ],
)
def test_a_target_has_one_positive_measure(measures: dict[str, float]) -> None:
    with pytest.raises(OptionError):
        Target(**measures)


def test_a_target_knows_its_measure() -> None:
    assert (Target(milliseconds=2).measure, Target(milliseconds=2).size) == ("milliseconds", 2)
