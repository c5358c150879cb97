"""The best network of a job: within limits, the smaller of equals, or words that say why not."""

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shrinknets import Client, Job, LimitsMissedWarning, NoNetworkError
from tests.sdk.test_submitting import JOB

DATASET: dict[str, Any] = {
    "name": "digits",
    "source": "uploaded",
    "rows": 100,
    "test_rows": 20,
    "input_shape": [4],
    "num_classes": 2,
    "dtype": "float32",
    "size_bytes": 9,
    "sha256": "0" * 64,
    "owner": "",
    "created_at": JOB["created_at"],
    "class_counts": [50, 50],
    "num_jobs": 1,
    "jobs": [],
}

Facts = tuple[int, int, float]
"""Parameters, MACs and the validation accuracy in hundredths, as far as limits look."""


def network(number: int, facts: Facts, **changes: Any) -> dict[str, Any]:
    parameters, macs, hundredths = facts
    fields = {
        "id": f"net-{number}",
        "job_id": JOB["id"],
        "trial_id": f"trial-{number}",
        "method": "fixed",
        "number": number,
        "step": 1,
        "lam": 0.0,
        "widths": [1],
        "parameters": parameters,
        "macs": macs,
        "validation_accuracy": hundredths / 100,
        "test_accuracy": 0.5,
        "hidden_units": 1,
        "weights_sha256": "0" * 64,
        "weights_bytes": 1,
    }
    return {**fields, **changes}


@contextmanager
def job_of(networks: list[dict[str, Any]], **constraints: float) -> Iterator[Job]:
    """A job that has found these networks."""
    spec = {**JOB["spec"], "constraints": constraints}
    answers = {
        "/api/v1/jobs/job-1": {**JOB, "state": "succeeded", "spec": spec},
        "/api/v1/jobs/job-1/networks": {"items": networks, "next": None},
        "/api/v1/datasets/digits": DATASET,
    }
    transport = httpx.MockTransport(lambda asked: httpx.Response(200, json=answers[asked.url.path]))
    with Client("http://service", transport=transport) as client:
        yield client.job("job-1")


def best_of(*all_facts: Facts, limits: Mapping[str, float] | None = None, **asked: Any) -> str:
    """The number of the best one, by its place in the list."""
    networks = [network(number, facts) for number, facts in enumerate(all_facts)]
    with job_of(networks, **(limits or {})) as job:
        return job.best(**asked).id.removeprefix("net-")


@pytest.mark.parametrize(
    ("all_facts", "number"),
    [
        ([(5, 5, 90), (9, 9, 91)], "1"),
        ([(9, 5, 90), (5, 9, 90), (7, 1, 90)], "1"),
        ([(5, 9, 90), (5, 8, 90), (5, 9, 90)], "1"),
        ([(5, 5, 90), (5, 5, 90)], "0"),
    ],
)
def test_of_equally_accurate_networks_the_smaller_then_the_first_is_best(
    all_facts: list[Facts], number: str
) -> None:
    assert best_of(*all_facts) == number


def test_what_just_meets_a_limit_fits() -> None:
    facts = [(100, 40, 90), (50, 80, 85), (20, 10, 70)]
    assert best_of(*facts, max_parameters=100) == "0"
    assert best_of(*facts, max_parameters=99) == "1"
    assert best_of(*facts, max_macs=80) == "0"
    assert best_of(*facts, max_macs=39) == "2"
    assert best_of(*facts, rule="smallest", min_validation_accuracy=0.85) == "1"
    assert best_of(*facts, max_parameters=99, within=0.15) == "2"
    assert best_of(*facts, max_parameters=99, within=0.14) == "1"


def test_one_standard_error_is_that_of_the_jobs_own_validation_rows() -> None:
    # A fifth of 100 rows validates: √(0.9 · 0.1 / 20) is 0.067.
    assert best_of((9, 9, 90), (5, 5, 84), (3, 3, 83), rule="one_standard_error") == "1"


@pytest.mark.parametrize("within", [0.0, 0.5])
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"max_parameters": 9}, "at most 9 parameters; the smallest has 1,000 parameters"),
        ({"max_macs": 9}, "at most 9 MACs; the fewest MACs are 70"),
        (
            {"min_validation_accuracy": 0.95},
            "at least 95.00% on validation; the most accurate has 90.00% on validation",
        ),
        (
            {"max_parameters": 9, "max_macs": 9},
            (
                "at most 9 parameters and at most 9 MACs; "
                "the smallest has 1,000 parameters and the fewest MACs are 70"
            ),
        ),
    ],
)
def test_where_nothing_fits_it_is_said_how_far_the_nearest_are(
    asked: dict[str, Any], words: str, within: float
) -> None:
    message = f"job job-1 (succeeded) has no network that has {words}"
    with pytest.raises(NoNetworkError, match=f"^{re.escape(message)}$"):
        best_of((1000, 100, 80), (2000, 70, 90), **asked, within=within)


def test_without_any_network_that_may_be_chosen_it_is_said_so() -> None:
    with (
        job_of([network(0, (1, 1, 99), method="retrain")], max_macs=5) as job,
        pytest.raises(NoNetworkError, match=r"^job job-1 \(succeeded\) has no network$"),
    ):
        job.best()


def test_a_network_that_keeps_the_jobs_limits_comes_before_a_better_one_without_a_warning() -> None:
    limits = {"max_parameters": 100}
    assert best_of((500, 5, 95), (100, 5, 90), (90, 5, 80), limits=limits) == "1"
    assert best_of((500, 5, 95), (100, 5, 90), (90, 5, 80), limits=limits, max_parameters=95) == "2"
    assert best_of((500, 5, 95), (100, 5, 90), (90, 5, 89), limits=limits, within=0.01) == "2"


def test_where_none_keeps_the_jobs_limits_the_least_violating_comes_with_a_warning() -> None:
    words = (
        "no network of job job-1 keeps its limits: this one has 150 parameters, 50 more than 100"
    )
    with pytest.warns(LimitsMissedWarning, match=f"^{words}$") as warned:
        assert (
            best_of((300, 5, 99), (150, 5, 80), (150, 5, 85), limits={"max_parameters": 100}) == "2"
        )
    assert [one.filename for one in warned] == [__file__]


def test_the_least_violating_network_is_looked_for_within_the_callers_limits() -> None:
    facts, limits = [(900, 12, 90), (400, 30, 80), (300, 40, 85)], {"max_macs": 10}
    with pytest.warns(LimitsMissedWarning, match="this one has 30 multiply-accumulates"):
        assert best_of(*facts, limits=limits, max_parameters=500) == "1"
    # A warning about a network that is not returned would mislead.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(NoNetworkError, match="the smallest has 300 parameters"):
            best_of(*facts, limits=limits, max_parameters=200)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"within": -0.1}, "within must be a share, 0 to 1, got -0.1"),
        ({"within": float("nan")}, "within must be a share"),
        ({"max_parameters": 0}, "max_parameters"),
        ({"max_macs": 0.5}, "max_macs"),
        ({"min_validation_accuracy": 90}, "min_validation_accuracy"),
        ({"rule": "smallest"}, "min_validation_accuracy"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        best_of((5, 5, 90), **asked)


limit = st.none() | st.integers(1, 6)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(50, 56)), max_size=8),
    limit,
    limit,
    st.none() | st.integers(50, 56),
    st.integers(0, 3),
)
def test_the_best_is_what_looking_at_all_networks_one_by_one_finds(
    all_facts: list[Facts],
    max_parameters: int | None,
    max_macs: int | None,
    least: int | None,
    give_up: int,
) -> None:
    fitting = [
        (parameters, macs, hundredths)
        for parameters, macs, hundredths in all_facts
        if (max_parameters is None or parameters <= max_parameters)
        and (max_macs is None or macs <= max_macs)
        and (least is None or hundredths >= least)
    ]
    asked: dict[str, Any] = {
        "max_parameters": max_parameters,
        "max_macs": max_macs,
        "min_validation_accuracy": None if least is None else least / 100,
        "within": give_up / 100,
    }
    if not fitting:
        with pytest.raises(NoNetworkError):
            best_of(*all_facts, **asked)
        return
    found = all_facts[int(best_of(*all_facts, **asked))]
    enough = max(hundredths for *_, hundredths in fitting) - give_up
    good = [facts for facts in fitting if facts[2] >= enough]
    smallest = [facts for facts in good if facts[0] == min(facts[0] for facts in good)]
    assert found in smallest
    assert found[2] == max(facts[2] for facts in smallest)
