"""Each keyword of `submit` arrives in the stored spec, or is refused by the name of its field."""

import math
from typing import Any

import pytest

from shrinknets import Client, InvalidInputError
from shrinknets.wire import JobSpec

pytestmark = pytest.mark.slow

PLAIN: dict[str, Any] = {"dataset": "digits", "methods": {"shrinknets": {}}}
RANGE = {"low": 1e-4, "high": 1e-2}
TUNED = {
    "trials": 7,
    "lr": RANGE,
    "weight_decay": RANGE,
    "batch_size": [16, 32],
    "fix": {"depth": 2},
    "start": [{"width_0": 9, "lr": 1e-3}, {}],
    "width": {"low": 8, "high": 64},
    "l2": RANGE,
}
TRAINING = {
    "epochs": 9,
    "batch_size": 32,
    "lr": 0.01,
    "weight_decay": 0.1,
    "precision": "bf16",
    "compile": True,
}
PRUNER = {
    "kind": "patient",
    "warmup_share": 0.5,
    "startup_trials": 3,
    "percentile": 12.5,
    "reduction_factor": 4,
    "min_epochs": 6,
    "patience": 7,
    "tolerance": 0.01,
    "margin": 0.5,
}
OBJECTIVE = {"kind": "mix", "size": "macs", "weight": 0.1}
CONSTRAINTS = {"max_parameters": 5000, "max_macs": 6000, "max_latency_ms": 0.5}
BUDGET = {"trials": 20, "seconds": 90.5, "training_macs": 1e12}
TERMINATOR = {"kind": "regret", "patience": 9, "min_gain": 0.01}
CHOICE = {
    "rule": "smallest",
    "max_parameters": 700,
    "max_macs": 600,
    "min_validation_accuracy": 0.9,
    "retrain": True,
    "retrain_seeds": 4,
    "retrain_epochs": 8,
    "fine_tune_epochs": 5,
}
WHOLE: dict[str, Any] = {
    "name": "all of it",
    "dataset": "wine",
    "network": {"family": "residual_mlp", "widths": [64, 64, 64]},
    "methods": {"shrinknets": {"rule": "subgradient"}, "path": {"trials": 2}, "fixed_l2": TUNED},
    "training": TRAINING,
    "sampler": "gp",
    "pruner": PRUNER,
    "objective": OBJECTIVE,
    "constraints": CONSTRAINTS,
    "budget": BUDGET,
    "repeats": 3,
    "terminator": TERMINATOR,
    "seed": 11,
    "trial_seconds": 33.5,
    "exports": ["pt2", "onnx"],
    "choice": CHOICE,
}
KEYWORDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"methods": "fixed"}, {"methods": {"fixed": {}}}),
    (
        {"methods": ["path", "fixed"], "trials": 4},
        {"methods": {"path": {"trials": 1}, "fixed": {"trials": 4}}},
    ),
    (
        {"methods": {"fixed_l2": TUNED, "fixed": {}, "path": {"trials": 2}}, "trials": 3},
        {"methods": {"fixed_l2": TUNED, "fixed": {"trials": 3}, "path": {"trials": 2}}},
    ),
    ({"family": "lenet5"}, {"network": {"family": "lenet5", "widths": None}}),
    ({"widths": 30}, {"network": {"family": "mlp", "widths": [30]}}),
    (
        {"family": "residual_mlp", "widths": (9, 8, 7)},
        {"network": {"family": "residual_mlp", "widths": [9, 8, 7]}},
    ),
    ({"training": TRAINING}, {"training": TRAINING}),
    *[({"sampler": s}, {"sampler": s}) for s in ("random", "gp", "cmaes", "qmc", "nsga2")],
    *[
        ({"pruner": kind}, {"pruner": {"kind": kind}})
        for kind in ("median", "percentile", "hyperband", "asha", "patient", "domination")
    ],
    ({"pruner": PRUNER}, {"pruner": PRUNER}),
    ({"objective": "accuracy_and_size"}, {"objective": {"kind": "accuracy_and_size"}}),
    ({"objective": OBJECTIVE}, {"objective": OBJECTIVE}),
    ({"constraints": CONSTRAINTS}, {"constraints": CONSTRAINTS}),
    ({"budget": BUDGET}, {"budget": BUDGET}),
    ({"repeats": 5}, {"repeats": 5}),
    ({"terminator": "stagnation"}, {"terminator": {"kind": "stagnation"}}),
    ({"terminator": TERMINATOR}, {"terminator": TERMINATOR}),
    ({"trial_seconds": 5}, {"trial_seconds": 5.0}),
    ({"exports": ["pt2", "onnx"]}, {"exports": ["pt2", "onnx"]}),
    ({"exports": "onnx"}, {"exports": ["onnx"]}),
    ({"choice": CHOICE}, {"choice": CHOICE}),
    ({"seed": 2**31 - 1}, {"seed": 2**31 - 1}),
    ({"name": "mine"}, {"name": "mine"}),
]


def meant(**changes: Any) -> JobSpec:
    """A spec, which must differ from one in which nothing is said."""
    spec = JobSpec.model_validate({**PLAIN, **changes})
    assert spec != JobSpec.model_validate(PLAIN)
    return spec


@pytest.mark.parametrize(("keywords", "changes"), KEYWORDS, ids=str)
def test_each_keyword_of_submit_arrives_in_the_stored_spec(
    queue: Client, keywords: dict[str, Any], changes: dict[str, Any]
) -> None:
    job = queue.submit(dataset="digits", **keywords)
    assert queue.job(job.id).info.spec == meant(**changes)


def test_no_field_of_a_spec_is_out_of_reach_of_a_keyword() -> None:
    reached = {field for _, changes in KEYWORDS for field in changes}
    assert reached | {"dataset", "warm_start"} == set(JobSpec.model_fields)


def test_a_whole_job_is_stored_as_it_is(queue: Client) -> None:
    earlier = queue.submit(dataset="digits")
    spec = JobSpec.model_validate({**WHOLE, "warm_start": [earlier.id]})
    assert spec.model_fields_set == set(JobSpec.model_fields)
    job = queue.submit(spec, labels={"team": "vision"}, priority=-3)
    stored = queue.job(job.id).info
    assert stored.spec == spec
    assert (stored.labels, stored.priority) == ({"team": "vision"}, -3)


def test_earlier_jobs_are_named_by_id_or_as_they_are_alone_or_together(queue: Client) -> None:
    one, two = queue.submit(dataset="digits"), queue.submit(dataset="wine")
    cases: list[tuple[Any, tuple[str, ...]]] = [
        ([one, two.id], (one.id, two.id)),
        (one, (one.id,)),
        (two.id, (two.id,)),
    ]
    for given, ids in cases:
        job = queue.submit(dataset="digits", warm_start=given)
        assert queue.job(job.id).info.spec == meant(warm_start=ids)


@pytest.mark.parametrize(
    ("keywords", "field"),
    [
        ({"family": "no/family"}, "network.family"),
        ({"widths": [30, "wide"]}, "network.widths.1"),
        ({"training": {"precision": "fp8"}}, "training.precision"),
        ({"training": {"compile": 1}}, "training.compile"),
        ({"training": {"momentum": 0.9}}, "training.momentum"),
        ({"training": {"lr": math.nan}}, "training.lr"),
        ({"sampler": "best"}, "sampler"),
        ({"sampler": "cmaes", "objective": "accuracy_and_size"}, "sampler"),
        ({"pruner": "early"}, "pruner.kind"),
        ({"pruner": "asha", "objective": "accuracy_and_size"}, "pruner.kind"),
        ({"pruner": {"kind": "median", "warmup_share": 2}}, "pruner.warmup_share"),
        ({"pruner": {"kind": "asha", "factor": 2}}, "pruner.factor"),
        ({"objective": "size"}, "objective.kind"),
        ({"objective": {"kind": "mix", "weight": 0}}, "objective.weight"),
        ({"constraints": {"max_macs": 0.5}}, "constraints.max_macs"),
        ({"constraints": {"macs": 5}}, "constraints.macs"),
        ({"budget": {"seconds": math.inf}}, "budget.seconds"),
        ({"budget": {"trials": 0}}, "budget.trials"),
        ({"repeats": 0}, "repeats"),
        ({"terminator": "bored"}, "terminator.kind"),
        ({"terminator": {"kind": "regret", "min_gain": 0}}, "terminator.min_gain"),
        ({"warm_start": ["job-none"]}, "warm_start.0"),
        ({"trial_seconds": 0}, "trial_seconds"),
        ({"trial_seconds": "soon"}, "trial_seconds"),
        ({"exports": ["onnx", "tflite"]}, "exports.1"),
        ({"exports": ["onnx", "onnx"]}, "exports"),
        ({"choice": {"rule": "smallest"}}, "choice.min_validation_accuracy"),
        ({"choice": {"retrain_seeds": 0}}, "choice.retrain_seeds"),
        ({"seed": -1}, "seed"),
        ({"name": "n" * 201}, "name"),
        ({"labels": {"team": 3}}, "labels.team"),
        ({"priority": 101}, "priority"),
        ({"methods": {"fixed": {"start": [{"depth": {1, 2}}]}}}, "methods.fixed.start.0.depth"),
    ],
    ids=str,
)
def test_a_keyword_that_makes_no_sense_is_refused_by_the_name_of_its_field(
    queue: Client, keywords: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        queue.submit(dataset="digits", **keywords)
    assert [error.field for error in caught.value.errors] == [field]
    assert f"{field}: expected" in str(caught.value)
