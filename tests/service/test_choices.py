"""The network of a job is chosen once its search is over, kept, and told with what followed."""

from typing import Any

import httpx
import pytest
from sqlalchemy import update

from service.store import Store
from service.store.tables import networks as networks_table
from shrinknets.wire import LEASE_HEADER
from tests.service.actors import WorkerActor, network, ok, problem, record

RULE = {"rule": "one_standard_error", "retrain": True, "retrain_seeds": 2, "fine_tune_epochs": 3}
# Of digits 288 rows validate: one standard error of 95 % is 1.28 points.
LARGE = {"parameters": 900, "validation_accuracy": 0.95}
SMALL = {"parameters": 300, "validation_accuracy": 0.94, "test_accuracy": 0.9}
TINY = {"parameters": 100, "validation_accuracy": 0.9, "test_accuracy": 1.0}


def finish(worker: WorkerActor, announced: Any, *found: dict[str, Any]) -> dict[str, Any]:
    """Run a trial that was announced to its end; returns it."""
    attempt = ok(worker.start(ok(announced)["id"]))
    results = []
    for changes in found:
        weights = repr((announced.json()["id"], changes)).encode()
        ok(worker.upload(attempt, weights))
        results.append(network(weights, **changes))
    trial: dict[str, Any] = ok(worker.end(attempt, records=[record(1)], networks=results))
    return trial


@pytest.fixture
def job_id(worker: WorkerActor) -> str:
    """A job whose search has found three networks."""
    job_id = worker.submit(methods={"shrinknets": {"trials": 1}, "path": {}}, choice=RULE)
    worker.claim()
    finish(worker, worker.announce(0), LARGE)
    finish(worker, worker.announce(0, method="path", params={}), SMALL, TINY)
    return job_id


def choose(worker: WorkerActor) -> httpx.Response:
    return worker.post(f"/jobs/{worker.job_id}/choice", worker.token)


def read(client: httpx.Client, job_id: str) -> Any:
    return ok(client.get(f"/api/v1/jobs/{job_id}/choice"))


def later(worker: WorkerActor, method: str, number: int, chosen: str, **found: Any) -> None:
    params = {"network": chosen, "widths": [12, 7], "epochs": 3}
    announced = worker.announce(number, method=method, params=params)
    finish(worker, announced, {**SMALL, **found})


def test_a_job_without_a_network_has_no_choice(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    worker.claim()
    assert choose(worker).status_code == 204
    assert "no network" in problem(client.get(f"/api/v1/jobs/{job_id}/choice"), 404)["detail"]
    problem(client.get("/api/v1/jobs/job-0000000000/choice"), 404)


def test_the_choice_follows_the_rule_and_says_why(
    client: httpx.Client, worker: WorkerActor, job_id: str
) -> None:
    assert read(client, job_id)["made_at"] is None
    chosen = ok(choose(worker))
    assert chosen == read(client, job_id)
    assert chosen["made_at"] is not None
    assert chosen["network"]["parameters"] == 300
    assert chosen["most_accurate"]["parameters"] == 900
    assert chosen["final"] == chosen["network"]
    assert (chosen["num_candidates"], chosen["validation_rows"]) == (3, 288)
    assert chosen["standard_error"] == pytest.approx(0.01284, abs=1e-5)
    assert "the smallest of 2 within 1.28 points" in chosen["reason"]
    assert (chosen["rule"]["rule"], chosen["is_feasible"]) == ("one_standard_error", True)


def test_accuracies_on_the_test_rows_change_no_choice(
    worker: WorkerActor, job_id: str, store: Store
) -> None:
    before = ok(choose(worker))
    for accuracy in (0.0, 1.0):
        with store.writing() as tx:
            tx.connection.execute(update(networks_table).values(test_accuracy=accuracy))
        after = ok(choose(worker))
        assert after["network"]["id"] == before["network"]["id"]
        assert (after["reason"], after["made_at"]) == (before["reason"], before["made_at"])


def test_networks_trained_after_the_choice_stand_beside_it_and_are_no_candidates(
    client: httpx.Client, worker: WorkerActor, job_id: str
) -> None:
    chosen = ok(choose(worker))["network"]["id"]
    later(worker, "retrain", 0, chosen, validation_accuracy=0.99, test_accuracy=0.92)
    assert read(client, job_id)["retrained"] == {
        "n": 1,
        "validation_accuracy": {"mean": 0.99, "std": None},
        "test_accuracy": {"mean": 0.92, "std": None},
    }
    later(worker, "retrain", 1, chosen, validation_accuracy=0.97, test_accuracy=0.9)
    later(worker, "retrain", 2, "net-another", test_accuracy=0.0)
    again = ok(choose(worker))
    assert again["network"]["id"] == chosen
    assert again["num_candidates"] == 3
    assert again["retrained"]["n"] == 2
    assert again["retrained"]["test_accuracy"]["mean"] == pytest.approx(0.91)
    assert again["retrained"]["test_accuracy"]["std"] == pytest.approx(0.01414, abs=1e-5)
    assert again["final"]["id"] == chosen
    progress = ok(client.get(f"/api/v1/jobs/{job_id}"))["progress"]
    assert progress["best_validation_accuracy"] == 0.95


@pytest.mark.parametrize(("accuracy", "takes_over"), [(0.94, False), (0.95, True)])
def test_a_fine_tuned_network_is_the_one_to_take_where_validation_says_so(
    client: httpx.Client, worker: WorkerActor, job_id: str, *, accuracy: float, takes_over: bool
) -> None:
    chosen = ok(choose(worker))["network"]["id"]
    later(worker, "fine_tune", 0, chosen, validation_accuracy=accuracy)
    found = read(client, job_id)
    assert found["network"]["id"] == chosen
    assert found["fine_tuned"]["method"] == "fine_tune"
    assert found["final"]["id"] == (found["fine_tuned"]["id"] if takes_over else chosen)


def test_a_better_network_of_a_trial_that_is_tried_again_is_chosen_anew(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(methods={"shrinknets": {"trials": 2}})
    worker.claim()
    finish(worker, worker.announce(0), LARGE)
    ok(worker.end(worker.begin(1), "failed"))
    assert ok(choose(worker))["network"]["parameters"] == 900
    ok(worker.release("succeeded"))
    ok(client.post(f"/api/v1/jobs/{job_id}/retry-failed"))
    worker.claim()
    assert read(client, job_id)["made_at"] is None
    finish(worker, worker.announce(1), {**SMALL, "validation_accuracy": 0.99})
    assert read(client, job_id)["network"]["parameters"] == 300
    again = ok(choose(worker))
    assert (again["network"]["parameters"], again["made_at"] is None) == (300, False)


def test_only_who_holds_the_job_chooses(worker: WorkerActor, job_id: str) -> None:
    problem(worker.post(f"/jobs/{job_id}/choice", "another"), 409)
    ok(worker.release("succeeded"))
    problem(choose(worker), 409)


def test_trials_after_the_choice_count_as_the_jobs(client: httpx.Client, job_id: str) -> None:
    assert ok(client.get(f"/api/v1/jobs/{job_id}"))["progress"]["total"] == 2 + 2 + 1


def test_a_dry_run_counts_the_trials_after_the_choice_and_their_time(
    client: httpx.Client, worker: WorkerActor
) -> None:
    body = {
        "dataset": "digits",
        "methods": {"fixed": {"trials": 1}},
        "training": {"epochs": 10},
        "choice": {"retrain": True, "retrain_seeds": 2, "fine_tune_epochs": 5},
    }
    plan = ok(client.post("/api/v1/jobs?dry_run=true", json=body))
    assert (plan["total_trials"], plan["training_seconds"]) == (1 + 2 + 1, None)
    assert "no trial of fixed or retrain has ended" in plan["unknown_because"]
    worker.submit(**{**body, "training": {"epochs": 2}})
    worker.claim()
    finish(worker, worker.announce(0, method="fixed", params={}), SMALL)
    plan = ok(client.post("/api/v1/jobs?dry_run=true", json=body))
    # Its trial took 0.25 seconds for 2 epochs.
    assert plan["training_seconds"] == pytest.approx((10 + 2 * 10 + 5) * 0.125)


def test_an_attempt_fetches_the_network_of_its_job_that_its_trial_starts_from(
    client: httpx.Client, worker: WorkerActor, job_id: str
) -> None:
    chosen = ok(choose(worker))["network"]

    def fetch(number: int, params: dict[str, Any], token: str = "") -> httpx.Response:
        announced = ok(worker.announce(number, method="fine_tune", params=params))
        attempt = ok(worker.start(announced["id"]))
        headers = {LEASE_HEADER: token or attempt["token"]}
        return client.get(f"/api/v1/worker/attempts/{attempt['id']}/network", headers=headers)

    answer = fetch(0, {"network": chosen["id"]})
    weights = client.get(f"/api/v1/networks/{chosen['id']}/weights")
    assert answer.content == weights.content
    problem(fetch(1, {"network": "net-0000000000"}), 404)
    problem(fetch(2, {}), 404)
    problem(fetch(3, {"network": chosen["id"]}, token="wrong"), 409)
    ok(worker.release("succeeded"))
    own = worker.submit(choice=RULE)
    worker.claim()
    assert own == worker.job_id
    problem(fetch(0, {"network": chosen["id"]}), 404)


def test_the_page_of_a_job_shows_the_choice_and_what_followed(
    client: httpx.Client, worker: WorkerActor, job_id: str
) -> None:
    before = client.get(f"/jobs/{job_id}").text
    assert "Of 3 networks the smallest of 2 within 1.28 points" in before
    assert "Another may be chosen yet" in before
    chosen = ok(choose(worker))["network"]
    later(worker, "retrain", 0, chosen["id"], test_accuracy=0.9)
    later(worker, "retrain", 1, chosen["id"], test_accuracy=0.92)
    later(worker, "fine_tune", 0, chosen["id"], validation_accuracy=0.96)
    page = client.get(f"/jobs/{job_id}").text
    assert "Another may be chosen yet" not in page
    assert "retrained from scratch, 2 times" in page
    assert "91.00 ± 1.41" in page
    assert "fine-tuned, the one to take" in page
    assert "network net-" in page, "what a trial after the choice is about"


def test_a_deleted_job_takes_its_choice_along(
    client: httpx.Client, worker: WorkerActor, job_id: str
) -> None:
    later(worker, "retrain", 0, ok(choose(worker))["network"]["id"])
    ok(worker.release("succeeded"))
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 204
    problem(client.get(f"/api/v1/jobs/{job_id}/choice"), 404)


@pytest.mark.parametrize(
    ("choice", "field"),
    [
        ({"rule": "smallest"}, "choice.min_validation_accuracy"),
        ({"rule": "test"}, "choice.rule"),
        ({"retrain_seeds": 0}, "choice.retrain_seeds"),
        ({"max_parameters": 0}, "choice.max_parameters"),
        ({"min_validation_accuracy": 1.5}, "choice.min_validation_accuracy"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(
    client: httpx.Client, choice: dict[str, Any], field: str
) -> None:
    body = {"dataset": "digits", "methods": {"path": {}}, "choice": choice}
    (error,) = problem(client.post("/api/v1/jobs", json=body), 422)["errors"]
    assert error["field"] == field
