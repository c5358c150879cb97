"""What a driver reads and orders while trials run, and what submissions say of searches."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from service.store.progress import seconds_covered
from tests.service.actors import WorkerActor, network, ok, problem, record, spec

WORKER = "/api/v1/worker"


def test_a_running_trial_is_told_to_end_early_and_carries_the_reason(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    assert ok(worker.report(attempt, record(1)))["order"] == "continue"
    trial_id = attempt["trial"]["id"]
    for reason in ("epoch 1: hopeless", "said again"):
        path = f"/trials/{trial_id}/prune"
        assert ok(worker.post(path, worker.token, {"reason": reason}))["state"] == "running"
    assert ok(worker.report(attempt, record(2)))["order"] == "prune"
    ended = ok(worker.end(attempt, "pruned"))
    assert (ended["state"], ended["reason"]) == ("pruned", "epoch 1: hopeless")


def test_only_the_jobs_holder_prunes_and_a_cancel_comes_first(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    attempt = worker.begin()
    path = f"/trials/{attempt['trial']['id']}/prune"
    for token in (attempt["token"], "x" * 43):
        problem(worker.post(path, token, {"reason": "no"}), 409)
    problem(worker.post(path, worker.token, {"reason": ""}), 422)
    problem(worker.post("/trials/trial-0/prune", worker.token, {"reason": "no"}), 404)
    assert ok(worker.report(attempt))["order"] == "continue"
    ok(worker.post(path, worker.token, {"reason": "yes"}))
    ok(client.post(f"/api/v1/jobs/{job_id}/cancel"))
    assert ok(worker.report(attempt))["order"] == "stop"


def test_a_trial_that_has_ended_is_left_as_it_is(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    trial = worker.finish()
    path = f"/trials/{trial['id']}/prune"
    assert ok(worker.post(path, worker.token, {"reason": "late"}))["state"] == "complete"


def test_new_epochs_of_several_trials_come_in_one_answer(worker: WorkerActor) -> None:
    job_id = worker.submit()
    worker.claim()
    first, second = worker.begin(0), worker.begin(1)
    ok(worker.report(first, record(1), record(2), record(3)))
    ok(worker.report(second, record(1)))
    ids = [attempt["trial"]["id"] for attempt in (first, second)]

    def read(after: dict[str, int]) -> Any:
        path = f"/jobs/{job_id}/epochs"
        return ok(worker.post(path, worker.token, {"after": after}))["trials"]

    assert {key: found["step"] for key, found in read({ids[0]: 1, ids[1]: 0}).items()} == {
        ids[0]: [2, 3],
        ids[1]: [1],
    }
    assert read({ids[0]: 3, ids[1]: 1, "trial-0": 0}) == {}
    assert read({}) == {}
    columns = read({ids[1]: 0})[ids[1]]
    assert {name: len(column) for name, column in columns.items()} == dict.fromkeys(
        ("step", "phase", "validation_accuracy", "parameters", "macs"), 1
    )
    other = f"/jobs/{job_id}/epochs"
    problem(worker.post(other, "x" * 43, {"after": {}}), 409)


def test_what_was_spent_is_read_from_the_tables(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.report(attempt, record(1, macs=10), record(2, macs=20)))
    headers = {"Lease-Token": worker.token}
    spent = ok(client.get(f"{WORKER}/jobs/{job_id}/spent", headers=headers))
    assert spent["epoch_macs"] == 30
    assert 0 <= spent["seconds"] < 600
    problem(client.get(f"{WORKER}/jobs/{job_id}/spent", headers={"Lease-Token": "x" * 43}), 409)


def test_periods_that_overlap_count_once_and_gaps_do_not() -> None:
    def at(second: float) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)

    periods = [(at(0), at(10)), (at(2), at(5)), (at(8), at(12)), (at(20), at(21))]
    assert seconds_covered(periods) == 13
    assert seconds_covered([]) == 0


def test_repeats_and_budgets_count_in_the_total(client: httpx.Client) -> None:
    body = spec(methods={"fixed": {"trials": 4}, "path": {}}, repeats=3)
    for changes, total in (({}, 15), ({"budget": {"trials": 7}}, 7)):
        planned = ok(client.post("/api/v1/jobs?dry_run=true", json={**body, **changes}))
        assert planned["total_trials"] == total
        assert ok(client.post("/api/v1/jobs", json={**body, **changes}))["progress"]["total"] == (
            total
        )


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"methods": {"fixed": {"start": [{}, {"width_0": 1}]}}}, "methods.fixed.start.1.width_0"),
        ({"methods": {"fixed": {"start": [{"lam": 1}]}}}, "methods.fixed.start.0.lam"),
        ({"methods": {"path": {"fix": {"lam": 1}}}}, "methods.path.fix.lam"),
        ({"methods": {"fixed": {"fix": {"depth": 9}}}}, "methods.fixed.fix.depth"),
        ({"methods": {"fixed": {"fix": {"lr": "1"}}}}, "methods.fixed.fix.lr"),
        ({"methods": {"fixed": {"batch_size": [8, 8]}}}, "methods.fixed.batch_size"),
        (
            {"methods": {"fixed": {"lr": {"low": 1, "high": 11}}}},
            "methods.fixed.lr.high",
        ),
        ({"sampler": "cmaes", "objective": {"kind": "accuracy_and_size"}}, "sampler"),
        (
            {"pruner": {"kind": "median"}, "objective": {"kind": "accuracy_and_size"}},
            "pruner.kind",
        ),
        ({"constraints": {"max_parameters": 0}}, "constraints.max_parameters"),
        ({"budget": {"seconds": -1}}, "budget.seconds"),
        ({"repeats": 0}, "repeats"),
        ({"warm_start": ["job-0"]}, "warm_start.0"),
    ],
)
def test_options_of_a_search_that_make_no_sense_are_named(
    client: httpx.Client, changes: dict[str, Any], field: str
) -> None:
    for query in ("", "?dry_run=true"):
        answer = problem(client.post(f"/api/v1/jobs{query}", json=spec(**changes)), 422)
        assert [error["field"] for error in answer["errors"]] == [field]


def test_configurations_have_mean_and_spread_of_their_trainings(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(methods={"shrinknets": {"trials": 2}}, repeats=2)
    worker.claim()
    for number, accuracy in ((0, 0.8), (1, 0.9)):
        attempt = worker.begin(number)
        weights = f"w{number}".encode()
        ok(worker.upload(attempt, weights))
        found = network(weights, validation_accuracy=accuracy)
        ok(worker.end(attempt, records=[record(1)], networks=[found]))
    worker.begin(2)
    first, second = ok(client.get(f"/api/v1/jobs/{job_id}/configurations"))["items"]
    assert (first["configuration"], first["n"], first["ended"]) == (0, 2, 2)
    assert first["validation_accuracy"]["mean"] == pytest.approx(0.85)
    assert first["validation_accuracy"]["std"] == pytest.approx(0.0707, abs=1e-4)
    assert (second["configuration"], second["n"], second["trials"]) == (1, 0, 1)
    assert second["validation_accuracy"] is None


def test_a_jobs_page_says_how_it_searches(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit(
        sampler="gp",
        pruner={"kind": "asha"},
        objective={"kind": "mix"},
        constraints={"max_parameters": 5000},
        budget={"seconds": 90.0},
    )
    page = client.get(f"/jobs/{job_id}").text
    for words in ("gp", "asha", "accuracy − 0.02 · log10(parameters)", "5,000 parameters"):
        assert f"<dd>{words}</dd>" in page
    assert "<dd>1 min 30 s</dd>" in page
