"""Each option of `shrinknets submit` arrives in the stored spec, or is refused by its name."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shrinknets import Client
from shrinknets.cli._app import main
from shrinknets.wire import JobSpec
from tests.sdk.test_submitted_specs import BUDGET, CONSTRAINTS, PLAIN, WHOLE, meant

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    (
        "--method path --method fixed --trials 4",
        {"methods": {"path": {}, "fixed": {"trials": 4}}},
    ),
    ("--family lenet5", {"network": {"family": "lenet5", "widths": None}}),
    ("--width 9 --width 8", {"network": {"family": "mlp", "widths": [9, 8]}}),
    (
        "--epochs 9 --batch-size 32 --lr 0.01 --precision tf32 --compile",
        {
            "training": {
                "epochs": 9,
                "batch_size": 32,
                "lr": 0.01,
                "precision": "tf32",
                "compile": True,
            }
        },
    ),
    ("--sampler nsga2", {"sampler": "nsga2"}),
    ("--pruner hyperband", {"pruner": {"kind": "hyperband"}}),
    ("--objective mix", {"objective": {"kind": "mix"}}),
    ("--terminator regret", {"terminator": {"kind": "regret"}}),
    ("--repeats 5", {"repeats": 5}),
    (
        "--max-parameters 5000 --max-macs 6000 --max-latency-ms 0.5",
        {"constraints": CONSTRAINTS},
    ),
    ("--max-macs 6000", {"constraints": {"max_macs": 6000}}),
    (
        "--budget-trials 20 --budget-seconds 90.5 --budget-macs 1e12",
        {"budget": BUDGET},
    ),
    ("--trial-seconds 5", {"trial_seconds": 5}),
    ("--export pt2 --export onnx", {"exports": ["pt2", "onnx"]}),
    (
        "--rule smallest --min-validation-accuracy 0.9",
        {"choice": {"rule": "smallest", "min_validation_accuracy": 0.9}},
    ),
    ("--retrain 4", {"choice": {"retrain": True, "retrain_seeds": 4}}),
    ("--fine-tune 7", {"choice": {"fine_tune_epochs": 7}}),
    ("--seed 5 --name mine", {"seed": 5, "name": "mine"}),
]


@pytest.fixture
def submit(
    queue: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run `shrinknets submit` in this process; gives status, standard output and error."""
    monkeypatch.setenv("SHRINKNETS_URL", queue.url)

    def run(*options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["shrinknets", "submit", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        status = ended.value.code
        assert isinstance(status, int)
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize(("options", "changes"), OPTIONS)
def test_each_option_of_the_command_arrives_in_the_stored_spec(
    submit: Run,
    queue: Client,
    options: str,
    changes: dict[str, Any],
) -> None:
    status, job_id, _ = submit("--dataset", "digits", *options.split())
    assert status == 0
    assert queue.job(job_id.strip()).info.spec == meant(**changes)


def test_no_field_of_a_spec_is_out_of_reach_of_an_option() -> None:
    reached = {field for _, changes in OPTIONS for field in changes}
    assert reached | {"dataset", "warm_start"} == set(JobSpec.model_fields)


def test_labels_priority_and_earlier_jobs_are_options_too(submit: Run, queue: Client) -> None:
    ids = [queue.submit(dataset="digits").id for _ in range(2)]
    status, job_id, _ = submit(
        *("--dataset", "digits", "--priority", "-7", "--label", "team:a:b", "--label", "urgent"),
        *("--warm-start", ids[0], "--warm-start", ids[1]),
    )
    assert status == 0
    stored = queue.job(job_id.strip()).info
    assert (stored.labels, stored.priority) == ({"team": "a:b", "urgent": ""}, -7)
    assert stored.spec == meant(warm_start=ids)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("--method fixt", "methods.fixt: expected"),
        ("--family no/family", "network.family: expected"),
        ("--width 0", "network.widths.0: expected"),
        ("--batch-size 0", "training.batch_size: expected"),
        ("--lr nan", "training.lr: expected"),
        ("--precision fp8", "'--precision'"),
        ("--sampler best", "'--sampler'"),
        ("--sampler cmaes --objective accuracy_and_size", "sampler: expected"),
        ("--pruner early", "'--pruner'"),
        ("--pruner median --objective accuracy_and_size", "pruner.kind: expected"),
        ("--objective size", "'--objective'"),
        ("--terminator bored", "'--terminator'"),
        ("--repeats 0", "'--repeats'"),
        ("--repeats 101", "repeats: expected"),
        ("--max-parameters 0", "'--max-parameters'"),
        ("--max-macs some", "'--max-macs'"),
        ("--max-latency-ms 0", "constraints.max_latency_ms: expected"),
        ("--budget-trials 0", "'--budget-trials'"),
        ("--budget-seconds inf", "budget.seconds: expected"),
        ("--budget-macs -1", "budget.training_macs: expected"),
        ("--warm-start job-none", "warm_start.0: expected"),
        ("--trial-seconds 0", "trial_seconds: expected"),
        ("--export tflite", "'--export'"),
        ("--export onnx --export onnx", "exports: expected"),
        ("--rule smallest", "choice.min_validation_accuracy: expected"),
        ("--retrain 0", "'--retrain'"),
        ("--fine-tune 0", "'--fine-tune'"),
        ("--seed -1", "seed: expected"),
        ("--label :a", "labels"),
        ("--label team:a --label team:b", "--label: give each key once"),
        ("--priority 101", "'--priority'"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_its_name(
    submit: Run, options: str, named: str
) -> None:
    status, out, err = submit("--dataset", "digits", *options.split())
    assert (status, out) == (2, "")
    assert named in err
    assert "Traceback" not in err


def test_a_file_with_the_whole_job_is_stored_as_it_is(
    submit: Run, queue: Client, tmp_path: Path
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps({**WHOLE, "labels": {"team": "vision"}, "priority": 3}))
    status, job_id, _ = submit("--spec", str(file))
    assert status == 0
    stored = queue.job(job_id.strip()).info
    assert stored.spec == JobSpec.model_validate(WHOLE)
    assert (stored.labels, stored.priority) == ({"team": "vision"}, 3)


@pytest.mark.parametrize(
    "option",
    [
        *("--seed 5", "--name mine", "--priority 0", "--lr 0", "--trials 0", "--trial-seconds 0"),
        *("--compile", "--label team:a", "--sampler gp", "--max-macs 5", "--budget-seconds 0"),
        *("--rule validation", "--warm-start job-1", "--repeats 2", "--family mlp", "--width 3"),
    ],
)
def test_no_option_is_dropped_beside_a_file_with_the_whole_job(
    submit: Run, tmp_path: Path, option: str
) -> None:
    file = tmp_path / "job.json"
    file.write_text(json.dumps(PLAIN))
    status, out, err = submit("--spec", str(file), *option.split())
    assert (status, out) == (2, "")
    assert "leave the other options out" in err
