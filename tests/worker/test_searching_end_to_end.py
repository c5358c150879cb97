"""Pruning, budgets, limits and warm starts in whole jobs: real service, workers and training."""

import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shrinknets.wire import JobSpec, JobState, Network, Page, Trial, TrialState
from tests.worker.real_processes import RealService, RealWorker

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]

StartWorker = Callable[..., RealWorker]


def job(methods: dict[str, Any], **fields: Any) -> JobSpec:
    body = {
        "dataset": "digits",
        "network": {"widths": [32]},
        "methods": methods,
        "training": {"epochs": 12, "batch_size": 64},
        "seed": 3,
        **fields,
    }
    return JobSpec.model_validate(body)


def networks_of(service: RealService, job_id: str) -> list[Network]:
    answer = service.http.get(f"/jobs/{job_id}/networks?limit=100")
    return Page[Network].model_validate_json(answer.content).items


def states(trials: list[Trial]) -> list[str]:
    return [trial.state.value for trial in trials]


# Small steps of large batches are over at once; many of small ones leave time to be pruned.
LR = {"low": 1e-7, "high": 1e-1}
GOOD = [{"lr": 1e-2, "batch_size": 512}, {"lr": 2e-2, "batch_size": 512}]
BAD = {"lr": 1e-7, "batch_size": 4}
TUNED = {"fix": {"depth": 1, "width_0": 32}, "lr": LR, "batch_size": [4, 512]}


def test_trials_that_learn_too_slowly_are_pruned_and_say_why(
    real_service: RealService, start_worker: StartWorker
) -> None:
    points = [*GOOD, BAD, BAD]
    spec = job(
        {"fixed": {**TUNED, "trials": 4, "start": points}},
        training={"epochs": 80},
        pruner={"kind": "median", "startup_trials": 2, "warmup_share": 0.03},
    )
    job_id = real_service.submit(spec)
    start_worker("--once", "--slots", "2")
    ended = real_service.wait_until_final(job_id, seconds=300)
    assert ended.state is JobState.SUCCEEDED, ended.reason
    trials = real_service.list_trials(job_id)
    assert states(trials) == ["complete"] * 2 + ["pruned"] * 2
    assert [trial.params["lr"] for trial in trials] == [point["lr"] for point in points]
    for trial in trials[2:]:
        assert 2 < trial.epochs < 80
        assert trial.reason.startswith("pruned in epoch ")
        assert "by median" in trial.reason
    assert sorted(number for trial in trials for number in trial.learned) in ([0, 1], [0, 1, 2])


def test_two_objectives_prune_by_domination(
    real_service: RealService, start_worker: StartWorker
) -> None:
    spec = job(
        {"fixed": {**TUNED, "trials": 3, "start": [*GOOD, BAD]}},
        training={"epochs": 80},
        objective={"kind": "accuracy_and_size"},
        pruner={"kind": "domination", "startup_trials": 2, "warmup_share": 0.03},
    )
    job_id = real_service.submit(spec)
    start_worker("--once", "--slots", "2")
    assert real_service.wait_until_final(job_id, seconds=300).state is JobState.SUCCEEDED
    trials = real_service.list_trials(job_id)
    assert states(trials) == ["complete", "complete", "pruned"]
    assert trials[2].reason.startswith("dominated in epoch ")
    assert "2,410 parameters, when fixed " in trials[2].reason


def test_a_job_ends_with_success_when_its_seconds_are_used_up_and_stops_what_runs(
    real_service: RealService, start_worker: StartWorker
) -> None:
    points = [GOOD[0], {"lr": 1e-3, "batch_size": 4}]
    spec = job(
        {"fixed": {**TUNED, "trials": 2, "start": points}},
        training={"epochs": 10_000},
        budget={"seconds": 20.0},
    )
    # The first has ten thousand epochs of three steps, the second so many of hundreds.
    job_id = real_service.submit(spec)
    worker = start_worker("--slots", "2")
    real_service.wait_for_trials(job_id, TrialState.RUNNING, 2)
    worker.kill()
    start_worker("--once", "--slots", "2")
    ended = real_service.wait_until_final(job_id, seconds=200)
    assert "the budget of 20 s was used up" in ended.reason
    trials = real_service.list_trials(job_id)
    assert trials[1].state is TrialState.PRUNED
    assert trials[1].reason == "the budget of 20 s was used up"


def test_budgets_of_trials_and_of_multiply_accumulates_end_a_job(
    real_service: RealService, start_worker: StartWorker
) -> None:
    few = real_service.submit(job({"fixed": {"trials": 9}}, budget={"trials": 3}))
    # One epoch: 1,149 rows, 64 · 32 + 32 · 10 multiply-accumulates, three passes.
    fixed = {"trials": 9, "fix": {"depth": 1, "width_0": 32}}
    macs = 2.5 * 12 * 3 * 1149 * (64 * 32 + 32 * 10)
    cheap = real_service.submit(job({"fixed": fixed}, budget={"training_macs": macs}))
    start_worker("--slots", "2")
    ended = real_service.wait_until_final(few, seconds=300)
    assert (ended.state, ended.reason) == (
        JobState.SUCCEEDED,
        "the budget of 3 trials was used up",
    )
    assert ended.progress.total == ended.progress.ended == 3
    ended = real_service.wait_until_final(cheap, seconds=300)
    assert ended.state is JobState.SUCCEEDED
    assert ended.reason.startswith("the budget of ")
    assert "complete" in states(real_service.list_trials(cheap))
    assert len(real_service.list_trials(cheap)) in {3, 4, 5}


def test_limits_are_kept_before_fixed_trials_and_while_networks_shrink(
    real_service: RealService, start_worker: StartWorker
) -> None:
    lam = {"low": 1e-3, "high": 1.1e-3}
    spec = job(
        {"shrinknets": {"trials": 1, "lam": lam}, "fixed": {"trials": 6}},
        constraints={"max_parameters": 1000},
        training={"epochs": 20, "batch_size": 64},
    )
    job_id = real_service.submit(spec)
    start_worker("--once")
    ended = real_service.wait_until_final(job_id, seconds=300)
    assert (ended.state, ended.reason) == (JobState.SUCCEEDED, "")
    trials = real_service.list_trials(job_id)
    assert states(trials) == ["complete"] * 7
    assert all(network.parameters <= 1000 for network in networks_of(real_service, job_id))
    shrunk = next(trial for trial in trials if trial.method.value == "shrinknets")
    assert shrunk.epochs > 20, "it went on until it was under"


def test_a_job_without_a_feasible_trial_names_the_one_that_misses_least(
    real_service: RealService, start_worker: StartWorker
) -> None:
    spec = job({"path": {}}, constraints={"max_latency_ms": 1e-6})
    impossible = real_service.submit(spec)
    none_left = job({"fixed": {"trials": 2}}, constraints={"max_parameters": 100})
    skipped = real_service.submit(none_left)
    start_worker()
    ended = real_service.wait_until_final(impossible, seconds=300)
    assert ended.state is JobState.SUCCEEDED
    assert ended.reason.startswith("no network keeps the limits; the least violating one has ")
    (trial,) = real_service.list_trials(impossible)
    assert trial.state is TrialState.INFEASIBLE
    assert trial.reason.startswith("over the limits: ")
    assert trial.latency_ms is not None
    ended = real_service.wait_until_final(skipped, seconds=300)
    assert ended.state is JobState.FAILED
    assert ended.reason == (
        "no trial gave a network; fixed: 200 candidates in a row were over a limit"
    ).replace("fixed: ", "")
    assert real_service.list_trials(skipped) == []


def test_a_warm_start_takes_over_what_fits_and_says_what_does_not(
    real_service: RealService, start_worker: StartWorker
) -> None:
    lam = {"low": 1e-3, "high": 1e-2}
    start = [{"lam": 0.001}, {"lam": 0.002}, {"lam": 0.009}]
    first = real_service.submit(job({"shrinknets": {"trials": 3, "lam": lam, "start": start}}))
    start_worker()
    assert real_service.wait_until_final(first, seconds=300).state is JobState.SUCCEEDED
    narrower = {"low": 1e-3, "high": 5e-3}
    spec = job({"shrinknets": {"trials": 1, "lam": narrower}}, warm_start=[first])
    second = real_service.submit(spec)
    ended = real_service.wait_until_final(second, seconds=300)
    assert ended.state is JobState.SUCCEEDED
    assert ended.reason.startswith(
        "shrinknets knew 2 trials of earlier jobs, 1 did not fit its search space, such as "
        "{'lam': 0.009}"
    )
    unknown = spec.model_copy(update={"warm_start": (first, "job-0")})
    refused = real_service.http.post("/jobs", json=unknown.model_dump(mode="json"))
    assert refused.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    (error,) = refused.json()["errors"]
    assert error["field"] == "warm_start.1"
