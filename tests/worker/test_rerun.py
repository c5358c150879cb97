"""Any trial can be run again alone, and gives the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shrinknets import Client, Job
from shrinknets.wire import Method, Network, Phase, Record, TrialState
from shrinknets_core import load_network
from tests.service.arrays import images, npz
from tests.worker.real_processes import RealService, RealWorker, find_free_port
from worker.rerun.comparison import Comparison


def record(step: int, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "step": step,
        "phase": Phase.TRAIN,
        "train_loss": 0.5,
        "validation_loss": 0.6,
        "validation_accuracy": 0.7,
        "widths": [5],
        "parameters": 30,
        "macs": 25,
        "lam": 0.0,
        "seconds": 0.1,
    }
    return Record(**{**fields, **changes})


def compare(there: list[Record], here: list[Record]) -> Comparison:
    comparison = Comparison(there, [])
    for one in here:
        comparison.add(one)
    return comparison


def test_seconds_are_not_compared() -> None:
    comparison = compare([record(1), record(2)], [record(1, seconds=9.0), record(2)])
    assert comparison.is_equal
    assert "2 of 2 epochs" in comparison.in_words()


def test_the_first_number_that_differs_is_told() -> None:
    here = [record(1), record(2, train_loss=0.5000001), record(3, widths=[4])]
    comparison = compare([record(1), record(2), record(3)], here)
    assert comparison.is_equal is False
    assert "epoch 2: train_loss is 0.5000001 here and 0.5 there" in comparison.in_words()


def test_fewer_epochs_are_not_the_same_and_nothing_known_is_no_answer() -> None:
    assert compare([record(1), record(2)], [record(1)]).is_equal is False
    assert compare([], [record(1)]).is_equal is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the worker needs /proc")
def test_trials_of_all_methods_run_again_alone_give_the_same_numbers_and_files(
    tmp_path: Path,
) -> None:
    service = RealService(tmp_path)
    worker = RealWorker(service.url, tmp_path, "--slots", "2")
    try:
        headers = {"Content-Type": "application/zip"}
        answer = service.http.post(
            "/datasets?name=own", content=npz(**images(120)), headers=headers
        )
        assert answer.is_success, answer.text
        with Client(service.url) as client:
            job = client.submit(
                dataset="own",
                methods={"path": {}, "fixed_l2": {"trials": 1}},
                widths=[10],
                training={"epochs": 6, "batch_size": 32},
                choice={"retrain": True, "retrain_seeds": 1, "fine_tune_epochs": 2},
            )
            job.wait(progress=False, timeout_seconds=500)
            trials = {trial.method: trial for trial in job.trials()}
            assert {trial.state for trial in trials.values()} == {TrialState.COMPLETE}
            for method in (Method.PATH, Method.FIXED_L2, Method.RETRAIN, Method.FINE_TUNE):
                _run_again_and_compare(job, trials[method].id, service.url, tmp_path)
    finally:
        worker.kill()
        service.http.close()
        service.kill()


def _run_again_and_compare(job: Job, trial_id: str, url: str, folder: Path) -> None:
    output = folder / trial_id
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "shrinknets", "rerun", trial_id, "--url", url, "--json"),
            *("--output", str(output), "--threads", str(threads)),
            *("--cache", str(folder / "another-cache")),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert answer.returncode == 0, answer.stderr
    *epochs, last = answer.stdout.splitlines()
    assert json.loads(last)["comparison"]["is_equal"] is True, last
    again = [Record.model_validate_json(line) for line in epochs]
    known = job.epochs(trial_id)
    assert [_without_seconds(one) for one in again] == [_without_seconds(one) for one in known]
    networks: list[Network] = [n.info for n in job.networks() if n.info.trial_id == trial_id]
    files = list(output.glob("*.safetensors"))
    assert len(files) == len(networks)
    load_network(files[0])


def _without_seconds(one: Record) -> dict[str, Any]:
    return one.model_dump(exclude={"seconds"})


@pytest.mark.slow
def test_a_service_that_is_away_is_told_in_a_line() -> None:
    command = [sys.executable, "-m", "shrinknets", "rerun", "trial-0000000000"]
    answer = subprocess.run(
        [*command, "--url", f"http://127.0.0.1:{find_free_port()}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1
    assert "no ShrinkNets service answers" in answer.stderr
    assert "Traceback" not in answer.stderr
