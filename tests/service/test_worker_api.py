"""What workers and trials say over HTTP, also when answers get lost."""

from collections.abc import Callable
from pathlib import Path

import httpx

from service import Settings, create_app, read_settings
from service.limits import MAX_BODY_BYTES
from tests.postgres import PostgresServer
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256
from tests.service.conftest import TestClient


def test_an_empty_queue_gives_nothing(worker: WorkerActor) -> None:
    response = worker.claim()
    assert (response.status_code, response.content) == (204, b"")


def test_a_trials_process_learns_what_to_do(worker: WorkerActor) -> None:
    worker.submit(seed=3)
    worker.claim()
    attempt = worker.begin()
    assignment = ok(worker.assignment(attempt))
    assert assignment["spec"]["seed"] == 3
    assert assignment["trial"]["params"] == {"lam": 0.01}
    assert assignment["trial"]["state"] == "running"


def test_announcing_a_trial_twice_gives_the_same_trial(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    first, second = worker.announce(0), worker.announce(0)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert worker.announce(0, method="path").status_code == 201


def test_sending_records_twice_counts_them_once(client: httpx.Client, worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    for _ in range(2):
        ok(worker.report(attempt, record(1), record(2), record(2)))
    trial = ok(client.get(f"/api/v1/trials/{attempt['trial']['id']}"))
    assert (trial["epochs"], trial["train_seconds"]) == (2, 0.5)
    assert (trial["widths"], trial["parameters"]) == ([98, 7], 998)


def test_a_record_sent_late_does_not_become_the_last_one(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.report(attempt, record(2)))
    ok(worker.report(attempt, record(1)))
    trial = ok(client.get(f"/api/v1/trials/{attempt['trial']['id']}"))
    assert (trial["epochs"], trial["widths"]) == (2, [98, 7])


def test_ending_an_attempt_twice_in_the_same_way_is_harmless(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.upload(attempt, b"w"))
    end = {"records": [record(1)], "networks": [network(b"w")]}
    first = ok(worker.end(attempt, **end))
    assert ok(worker.end(attempt, **end)) == first
    networks = ok(client.get(f"/api/v1/trials/{first['id']}/networks"))["items"]
    assert len(networks) == 1


def test_ending_an_attempt_in_another_way_is_refused(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.end(attempt, "infeasible", reason="the network collapsed"))
    assert problem(worker.end(attempt, "failed"), 409)["type"].endswith(":lease-lost")


def test_an_end_with_weights_that_were_not_uploaded_changes_nothing(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    body = problem(worker.end(attempt, records=[record(1)], networks=[network(b"w")]), 422)
    (error,) = body["errors"]
    assert error["field"] == "networks.0.weights_sha256"
    assert "uploaded before" in error["allowed"]
    trial = ok(client.get(f"/api/v1/trials/{attempt['trial']['id']}"))
    assert (trial["state"], trial["epochs"]) == ("running", 0)
    ok(worker.report(attempt, record(1)))


def test_an_attempt_cannot_end_in_a_state_that_is_no_end(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    (error,) = problem(worker.end(worker.begin(), "running"), 422)["errors"]
    assert error["field"] == "state"
    assert "complete" in error["allowed"]


def test_a_job_cannot_be_released_into_a_state_that_is_no_end(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    (error,) = problem(worker.release("running"), 422)["errors"]
    assert (error["field"], error["given"]) == ("state", "'running'")


def test_releasing_a_job_twice_in_the_same_way_is_harmless(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    first = ok(worker.release("succeeded"))
    assert ok(worker.release("succeeded")) == first
    problem(worker.release("failed"), 409)


def test_a_wrong_token_is_refused_everywhere(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    forged = {**attempt, "token": "not-the-token"}
    problem(worker.assignment(forged), 409)
    problem(worker.report(forged, record(1)), 409)
    problem(worker.end(forged), 409)
    problem(worker.upload(forged, b"w"), 409)
    worker.token = "not-the-token"
    problem(worker.renew(), 409)
    problem(worker.announce(1), 409)
    problem(worker.start(attempt["trial"]["id"]), 409)
    problem(worker.release("succeeded"), 409)


def test_unknown_jobs_trials_and_attempts_are_not_found(worker: WorkerActor) -> None:
    worker.submit()
    worker.claim()
    nobody = {"id": "attempt-0000000000", "token": "t"}
    problem(worker.assignment(nobody), 404)
    problem(worker.end(nobody), 404)
    problem(worker.start("trial-0000000000"), 404)
    worker.job_id = "job-0000000000"
    problem(worker.renew(), 404)
    problem(worker.announce(), 404)
    problem(worker.release("succeeded"), 404)


def test_a_request_without_a_token_names_the_header(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    response = client.post(f"/api/v1/worker/jobs/{worker.job_id}/renew")
    (error,) = problem(response, 422)["errors"]
    assert (error["field"], error["given"]) == ("Lease-Token", "nothing")


def test_a_file_is_stored_once_under_its_digest(worker: WorkerActor, settings: Settings) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    assert worker.upload(attempt, b"weights").status_code == 201
    assert worker.upload(attempt, b"weights").status_code == 200
    digest = sha256(b"weights")
    folder = settings.data_dir / "artifacts"
    stored = [path for path in folder.rglob("*") if path.is_file()]
    assert stored == [folder / digest[:2] / digest[2:4] / digest]


def test_a_file_with_another_digest_than_named_is_refused(
    worker: WorkerActor, settings: Settings
) -> None:
    worker.submit()
    worker.claim()
    response = worker.upload(worker.begin(), b"weights", name="0" * 64)
    (error,) = problem(response, 422)["errors"]
    assert error["field"] == "sha256"
    assert sha256(b"weights") in error["allowed"]
    assert not [p for p in (settings.data_dir / "artifacts").rglob("*") if p.is_file()]


def test_a_file_that_was_damaged_on_disk_is_not_handed_out(
    client: httpx.Client, worker: WorkerActor, settings: Settings
) -> None:
    worker.submit()
    worker.claim()
    trial = worker.finish(weights=b"weights")
    (found,) = ok(client.get(f"/api/v1/trials/{trial['id']}/networks"))["items"]
    digest = sha256(b"weights")
    path: Path = settings.data_dir / "artifacts" / digest[:2] / digest[2:4] / digest
    path.write_bytes(b"other")
    weights = f"/api/v1/networks/{found['id']}/weights"
    assert "its content has the digest" in problem(client.get(weights), 500)["detail"]
    path.unlink()
    assert "not where it was stored" in problem(client.get(weights), 500)["detail"]


def test_a_body_beyond_the_limit_is_refused(client: httpx.Client) -> None:
    body = b'{"name": "' + b"x" * MAX_BODY_BYTES + b'"}'
    response = client.post(
        "/api/v1/jobs", content=body, headers={"Content-Type": "application/json"}
    )
    assert "send less" in problem(response, 413)["detail"]


def test_a_body_of_unknown_length_beyond_the_limit_is_refused(client: httpx.Client) -> None:
    parts = (b"x" * 2**20 for _ in range(MAX_BODY_BYTES // 2**20 + 1))
    response = client.post(
        "/api/v1/jobs", content=parts, headers={"Content-Type": "application/json"}
    )
    assert "send less" in problem(response, 413)["detail"]


def test_the_service_itself_takes_jobs_from_silent_workers(
    settings: Settings, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    quick = settings.model_copy(update={"job_lease_seconds": 2.0, "expire_every_seconds": 0.05})
    with TestClient(create_app(quick)) as client:
        first, second = WorkerActor(client), WorkerActor(client)
        first.submit()
        ok(first.claim("silent"))
        attempt = first.begin()
        wait_until(lambda: second.claim("next").status_code == 200)
        assert second.job_id == first.job_id
        problem(first.renew(), 409)
        problem(first.report(attempt, record(1)), 409)
        assert ok(second.announce(0))["state"] == "waiting"


def test_a_database_that_goes_away_is_told_with_when_to_come_back(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    settings = read_settings(
        data_dir=tmp_path,
        database_url=postgres.create("doomed"),
        migrate_on_start=True,
        allowed_hosts=("testserver",),
    )
    with TestClient(create_app(settings)) as client:
        ok(client.get("/api/v1/jobs"))
        postgres.drop("doomed")
        response = client.get("/api/v1/jobs")
    assert problem(response, 503)["detail"].startswith("The database does not answer")
    assert response.headers["retry-after"] == "1"
