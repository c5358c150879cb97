"""Jobs over HTTP: submit, list, follow to the end, cancel."""

from typing import Any

import httpx
import pytest
from sqlalchemy import event

from service.store import Slice, Store, job_lists
from tests.service import hands
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256, spec


def get(client: httpx.Client, path: str) -> Any:
    return ok(client.get(f"/api/v1{path}"))


def test_a_submitted_job_waits_in_the_queue(client: httpx.Client) -> None:
    response = client.post("/api/v1/jobs", json=spec(name="mine", seed=7))
    assert response.status_code == 201
    job = response.json()
    assert job["state"] == "queued"
    assert job["spec"]["name"] == "mine"
    assert job["progress"] == {
        "total": 2,
        "ended": 0,
        "running": 0,
        "best_validation_accuracy": None,
        "alive_units": None,
    }
    assert get(client, f"/jobs/{job['id']}") == job


def test_jobs_are_listed_newest_first_page_by_page(
    client: httpx.Client, worker: WorkerActor
) -> None:
    ids = [worker.submit() for _ in range(5)]
    first = get(client, "/jobs?limit=2")
    second = get(client, f"/jobs?limit=2&cursor={first['next']}")
    third = get(client, f"/jobs?limit=2&cursor={second['next']}")
    listed = [job["id"] for page in (first, second, third) for job in page["items"]]
    assert listed == ids[::-1]
    assert third["next"] is None


def test_a_list_of_jobs_costs_the_same_number_of_queries_whatever_its_length(
    store: Store,
) -> None:
    counted: list[str] = []

    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        counted.append(statement)

    def queries() -> int:
        counted.clear()
        with store.reading() as tx:
            event.listen(tx.connection, "before_cursor_execute", count)
            job_lists.list_jobs(tx, Slice())
        return sum(statement.startswith("SELECT") for statement in counted)

    hands.submit(store)
    few = queries()
    for _ in range(10):
        hands.submit(store)
        held = hands.claim(store)
        hands.report(store, hands.start(store, held, hands.announce(store, held)), 1)
    assert queries() == few == 4


def test_progress_tells_what_the_trials_reported(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    worker.claim()
    worker.finish(0)
    attempt = worker.begin(1)
    ok(worker.report(attempt, record(1, widths=[40, 2])))
    progress = get(client, f"/jobs/{job_id}")["progress"]
    assert progress == {
        "total": 2,
        "ended": 1,
        "running": 1,
        "best_validation_accuracy": 0.9,
        "alive_units": 42,
    }


def test_a_job_runs_from_its_claim_to_its_networks(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    claimed = ok(worker.claim("anna"))
    assert claimed["job"]["worker"] == "anna"
    assert claimed["lease_seconds"] == 15
    trial = worker.finish()
    job = ok(worker.release("succeeded"))
    assert (job["state"], job["worker"]) == ("succeeded", None)
    assert job["ended_at"] is not None
    assert [t["id"] for t in get(client, f"/jobs/{job_id}/trials")["items"]] == [trial["id"]]
    assert get(client, f"/trials/{trial['id']}") == trial
    assert (trial["state"], trial["epochs"], trial["train_seconds"]) == ("complete", 2, 0.5)
    steps = get(client, f"/trials/{trial['id']}/epochs")["items"]
    assert steps == [record(1), record(2)]
    (found,) = get(client, f"/jobs/{job_id}/networks")["items"]
    assert get(client, f"/networks/{found['id']}") == found
    assert get(client, f"/trials/{trial['id']}/networks")["items"] == [found]
    assert (found["job_id"], found["method"], found["number"]) == (job_id, "shrinknets", 0)


def test_lists_of_trials_epochs_and_networks_have_pages(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    for number in range(3):
        trial = worker.finish(number)
    for path in (f"/jobs/{job_id}/trials", f"/jobs/{job_id}/networks"):
        first = get(client, f"{path}?limit=2")
        rest = get(client, f"{path}?limit=2&cursor={first['next']}")
        assert [len(first["items"]), len(rest["items"]), rest["next"]] == [2, 1, None]
    first = get(client, f"/trials/{trial['id']}/epochs?limit=1")
    rest = get(client, f"/trials/{trial['id']}/epochs?limit=1&cursor={first['next']}")
    assert [first["items"][0]["step"], rest["items"][0]["step"]] == [1, 2]


def test_weights_come_back_as_they_were_with_a_name_and_an_etag(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    weights = bytes(range(256)) * 20_000
    trial = worker.finish(weights=weights)
    (found,) = get(client, f"/trials/{trial['id']}/networks")["items"]
    response = client.get(f"/api/v1/networks/{found['id']}/weights")
    assert response.content == weights
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["etag"] == f'"{sha256(weights)}"'
    assert f'filename="{found["id"]}.safetensors"' in response.headers["content-disposition"]
    again = client.get(
        f"/api/v1/networks/{found['id']}/weights",
        headers={"If-None-Match": response.headers["etag"]},
    )
    assert (again.status_code, again.content) == (304, b"")


def test_a_queued_job_is_cancelled_at_once(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    response = client.post(f"/api/v1/jobs/{job_id}/cancel")
    assert (response.status_code, response.json()["state"]) == (202, "cancelled")
    assert worker.claim().status_code == 204


def test_cancelling_twice_is_harmless(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    first = ok(client.post(f"/api/v1/jobs/{job_id}/cancel"))
    assert ok(client.post(f"/api/v1/jobs/{job_id}/cancel")) == first


def test_cancelling_a_job_that_waits_again_cancels_its_waiting_trials(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    trial = worker.begin()["trial"]
    ok(worker.release("queued"))
    ok(client.post(f"/api/v1/jobs/{job_id}/cancel"))
    assert get(client, f"/trials/{trial['id']}")["state"] == "cancelled"


def test_a_running_job_is_asked_to_stop_and_stops_when_its_worker_says_so(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    done = worker.finish(0)
    attempt = worker.begin(1)
    waiting = ok(worker.announce(2))
    assert ok(worker.renew()) == {"order": "continue"}
    assert ok(worker.report(attempt, record(1))) == {"order": "continue"}
    asked = ok(client.post(f"/api/v1/jobs/{job_id}/cancel"))
    assert asked["state"] == "running"
    assert "Cancel requested" in asked["reason"]
    assert ok(worker.renew()) == {"order": "stop"}
    assert ok(worker.report(attempt, record(2))) == {"order": "stop"}
    assert ok(worker.release("cancelled"))["state"] == "cancelled"
    states = {t["id"]: t["state"] for t in get(client, f"/jobs/{job_id}/trials")["items"]}
    assert states == {
        done["id"]: "complete",
        attempt["trial"]["id"]: "cancelled",
        waiting["id"]: "cancelled",
    }
    problem(worker.report(attempt, record(3)), 409)


def test_a_job_that_has_ended_cannot_be_cancelled(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    ok(worker.release("succeeded"))
    body = problem(client.post(f"/api/v1/jobs/{job_id}/cancel"), 409)
    assert body["detail"] == f"Job '{job_id}' has succeeded already: nothing to cancel."


def test_a_failed_job_keeps_its_finished_trials_and_tells_why(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    done = worker.finish(0)
    attempt = worker.begin(1)
    reason = "Traceback\nValueError: text \x00 with a NUL \ud800"
    ok(worker.end(attempt, "failed", reason=reason.encode("utf-8", "replace").decode()))
    job = ok(worker.release("failed", "all went wrong"))
    assert (job["state"], job["reason"]) == ("failed", "all went wrong")
    assert get(client, f"/trials/{done['id']}") == done
    assert "ValueError" in get(client, f"/trials/{attempt['trial']['id']}")["reason"]
    assert len(get(client, f"/jobs/{job_id}/networks")["items"]) == 1


def test_a_path_trial_is_summed_up_by_its_best_network(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, b"w"))
    found = [
        network(b"w", validation_accuracy=0.8, parameters=10, widths=[1]),
        network(b"w", validation_accuracy=0.95, parameters=300, widths=[3]),
        network(b"w", validation_accuracy=0.95, parameters=200, widths=[2]),
    ]
    trial = ok(worker.end(attempt, networks=found))
    assert (trial["validation_accuracy"], trial["parameters"], trial["widths"]) == (0.95, 200, [2])
    assert len(get(client, f"/trials/{trial['id']}/networks")["items"]) == 3


@pytest.mark.parametrize(
    "path",
    [
        "/jobs/job-0000000000",
        "/jobs/job-0000000000/trials",
        "/jobs/job-0000000000/networks",
        "/jobs/job-0000000000/events",
        "/jobs/nonsense",
        "/trials/trial-0000000000",
        "/trials/trial-0000000000/epochs",
        "/trials/trial-0000000000/networks",
        "/networks/net-0000000000",
        "/networks/net-0000000000/weights",
        "/nothing-here",
    ],
)
def test_what_does_not_exist_is_a_404_problem(client: httpx.Client, path: str) -> None:
    assert problem(client.get(f"/api/v1{path}"), 404)["title"] == "Not Found"


def test_a_wrong_method_is_a_405_problem_that_names_the_right_one(client: httpx.Client) -> None:
    response = client.delete("/api/v1/trials/trial-0000000000")
    assert problem(response, 405)["detail"] == "Got 'DELETE', allowed is GET."
    assert response.headers["allow"] == "GET"


def test_the_service_says_that_it_is_up(client: httpx.Client) -> None:
    assert ok(client.get("/healthz"))["status"] == "ok"


def test_every_operation_is_described(client: httpx.Client) -> None:
    document = ok(client.get("/openapi.json"))
    operations = [o for path in document["paths"].values() for o in path.values()]
    assert len(operations) >= 20
    assert all(o["summary"] and o.get("description") for o in operations)
    assert len({o["operationId"] for o in operations}) == len(operations)
