"""Change, pause, resume, try again, clone and delete jobs."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from service import Settings
from service.artifacts import Artifacts
from service.store import Store, controls, jobs, leases, removal
from service.store.tables import metadata
from shrinknets.wire import JobEnd, JobPatch, JobSpec, JobState, TrialState
from tests.service import hands
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256, spec

JOBS = "/api/v1/jobs"


def post(client: httpx.Client, job_id: str, action: str, json: Any = None) -> httpx.Response:
    return client.post(f"{JOBS}/{job_id}/{action}", json=json)


def get(client: httpx.Client, job_id: str) -> Any:
    return ok(client.get(f"{JOBS}/{job_id}"))


def test_a_job_carries_its_name_labels_and_priority(client: httpx.Client) -> None:
    body = spec(name="mine", labels={"team": "vision", "a/b.c": ""}, priority=7)
    job = ok(client.post(JOBS, json=body))
    assert (job["name"], job["priority"]) == ("mine", 7)
    assert job["labels"] == {"a/b.c": "", "team": "vision"}
    assert "labels" not in job["spec"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"priority": 1.5}, "priority"),
        ({"priority": "1"}, "priority"),
        ({"labels": {"": "x"}}, "labels"),
        ({"labels": {"a:b": "x"}}, "labels"),
        ({"labels": {"a": "x" * 201}}, "labels.a"),
        ({"labels": {"a": "\x00"}}, "labels.a"),
        ({"labels": {"a": 1}}, "labels.a"),
        ({"labels": {str(k): "" for k in range(33)}}, "labels"),
        ({"labels": ["a"]}, "labels"),
        ({"name": "x" * 201}, "name"),
        ({"owner": "me"}, "owner"),
    ],
)
def test_wrong_words_and_priorities_are_refused_wherever_they_are_given(
    client: httpx.Client, worker: WorkerActor, changes: dict[str, Any], field: str
) -> None:
    job_id = worker.submit()
    for response in (
        client.post(JOBS, json=spec(**changes)),
        client.patch(f"{JOBS}/{job_id}", json=changes),
        post(client, job_id, "clone", changes),
    ):
        (error,) = problem(response, 422)["errors"]
        assert error["field"].startswith(field)


def test_a_patch_changes_what_it_names_and_nothing_else(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(name="old", labels={"a": "1", "b": "2"}, priority=1)
    ok(client.patch(f"{JOBS}/{job_id}", json={"priority": -5}))
    ok(client.patch(f"{JOBS}/{job_id}", json={"labels": {"c": "3"}}))
    job = ok(client.patch(f"{JOBS}/{job_id}", json={"name": "new"}))
    assert (job["name"], job["labels"], job["priority"]) == ("new", {"c": "3"}, -5)
    assert job["spec"]["name"] == "new"
    assert ok(client.patch(f"{JOBS}/{job_id}", json={})) == job
    assert ok(client.patch(f"{JOBS}/{job_id}", json={"name": "", "labels": {}}))["labels"] == {}


def test_claims_take_the_highest_priority_and_of_that_the_oldest(
    client: httpx.Client, worker: WorkerActor
) -> None:
    low, first, second, high = (worker.submit(priority=p) for p in (-1, 0, 0, 3))
    late = worker.submit()
    ok(client.patch(f"{JOBS}/{late}", json={"priority": 9}))
    claimed = [ok(worker.claim())["job"]["id"] for _ in range(5)]
    assert claimed == [late, high, first, second, low]


def test_a_queued_job_is_paused_at_once_and_not_claimed_until_it_is_resumed(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    response = post(client, job_id, "pause")
    assert (response.status_code, response.json()["state"]) == (202, "paused")
    assert ok(post(client, job_id, "pause")) == response.json()
    assert worker.claim().status_code == 204
    assert ok(post(client, job_id, "resume"))["state"] == "queued"
    assert ok(worker.claim())["job"]["id"] == job_id


def test_a_running_job_pauses_when_its_worker_lets_go(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    running, left = worker.begin(0), worker.begin(1)
    ok(worker.report(left, record(1)))
    asked = ok(post(client, job_id, "pause"))
    assert (asked["state"], asked["reason"][:15]) == ("running", "Pause requested")
    assert ok(worker.renew()) == {"order": "pause"}
    assert ok(worker.report(running, record(1))) == {"order": "pause"}
    trial = ok(worker.end(running, "waiting", reason="paused on request"))
    assert (trial["state"], trial["ended_at"]) == ("waiting", None)
    assert ok(worker.end(running, "waiting")) == trial
    problem(worker.end(running, "complete"), 409)
    problem(worker.start(running["trial"]["id"]), 409)
    job = ok(worker.release("paused"))
    assert (job["state"], job["worker"], job["ended_at"]) == ("paused", None, None)
    assert ok(worker.release("paused")) == job
    problem(worker.report(left, record(2)), 409)
    assert job["progress"]["running"] == 0
    assert worker.claim().status_code == 204
    ok(post(client, job_id, "resume"))
    worker.claim()
    again = ok(worker.start(running["trial"]["id"]))
    assert again["trial"]["epochs"] == 0
    assert ok(worker.renew()) == {"order": "continue"}


def test_a_job_that_is_resumed_before_its_worker_lets_go_stays_in_the_queue(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    post(client, job_id, "pause")
    assert ok(post(client, job_id, "resume"))["reason"] == ""
    assert ok(worker.renew()) == {"order": "continue"}
    assert ok(worker.release("paused"))["state"] == "queued"


def test_a_worker_that_shuts_down_leaves_a_job_paused_that_was_to_pause(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    post(client, job_id, "pause")
    assert ok(worker.release("queued"))["state"] == "paused"
    ok(post(client, job_id, "resume"))
    worker.claim()
    assert ok(worker.release("queued"))["state"] == "queued"


def test_a_job_that_ends_while_it_is_to_pause_has_ended(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    post(client, job_id, "pause")
    assert ok(worker.release("succeeded"))["state"] == "succeeded"


def test_a_cancel_outdoes_a_pause(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    worker.claim()
    post(client, job_id, "pause")
    ok(post(client, job_id, "cancel"))
    assert ok(worker.renew()) == {"order": "stop"}
    problem(post(client, job_id, "pause"), 409)
    assert ok(worker.release("paused"))["state"] == "cancelled"


def test_a_paused_job_can_be_cancelled(client: httpx.Client, worker: WorkerActor) -> None:
    job_id = worker.submit()
    post(client, job_id, "pause")
    assert ok(post(client, job_id, "cancel"))["state"] == "cancelled"


def test_a_job_whose_worker_goes_silent_while_it_is_to_pause_is_paused(store: Store) -> None:
    job_id = hands.submit(store)
    held = hands.claim(store, seconds=hands.OVER)
    trial = hands.announce(store, held)
    hands.start(store, held, trial)
    with store.writing() as tx:
        controls.pause_job(tx, job_id)
    hands.expire(store)
    assert hands.job_state(store, job_id) is JobState.PAUSED
    assert hands.trial_state(store, trial) is TrialState.WAITING
    assert hands.find_claim(store) is None


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_what_has_ended_is_neither_paused_nor_resumed(
    client: httpx.Client, worker: WorkerActor, action: str
) -> None:
    job_id = worker.submit()
    worker.claim()
    worker.release("succeeded")
    assert "has succeeded already" in problem(post(client, job_id, action), 409)["detail"]


def test_failed_trials_are_tried_again_with_those_that_the_end_cut_off(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(methods={"shrinknets": {"trials": 3}})
    worker.claim()
    done = worker.finish(0)
    attempt = worker.begin(1)
    ok(worker.upload(attempt, b"half"))
    failed = ok(worker.end(attempt, "failed", reason="broken", networks=[network(b"half")]))
    cut_off = worker.begin(2)["trial"]
    worker.release("failed", "too much went wrong")
    job = ok(post(client, job_id, "retry-failed"))
    assert (job["state"], job["ended_at"]) == ("queued", None)
    assert job["reason"] == "2 trials are tried again on request."
    states = {t["id"]: t["state"] for t in ok(client.get(f"{JOBS}/{job_id}/trials"))["items"]}
    assert states == {done["id"]: "complete", failed["id"]: "waiting", cut_off["id"]: "waiting"}
    (kept,) = ok(client.get(f"{JOBS}/{job_id}/networks"))["items"]
    assert kept["trial_id"] == done["id"]
    worker.claim()
    assert ok(worker.start(failed["id"]))["trial"]["state"] == "running"


def test_what_cannot_be_tried_again_is_a_conflict(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    assert "is queued" in problem(post(client, job_id, "retry-failed"), 409)["detail"]
    worker.claim()
    worker.finish()
    worker.release("succeeded")
    assert "no failed trial" in problem(post(client, job_id, "retry-failed"), 409)["detail"]
    other = worker.submit()
    post(client, other, "cancel")
    assert "clone it" in problem(post(client, other, "retry-failed"), 409)["detail"]


def test_a_clone_is_the_same_job_anew_with_changes(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(name="a", seed=3, labels={"x": "y"}, priority=2)
    plain = post(client, job_id, "clone")
    assert plain.status_code == 201
    original, clone = get(client, job_id), plain.json()
    for field in ("spec", "name", "labels", "priority"):
        assert clone[field] == original[field]
    assert clone["id"] != job_id
    changed = ok(post(client, job_id, "clone", {"seed": 4, "name": "b", "labels": {}}))
    assert (changed["spec"]["seed"], changed["name"], changed["labels"]) == (4, "b", {})


def test_a_clone_whose_changes_do_not_fit_is_refused_with_the_field(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit(
        methods={"fixed": {"depth": {"low": 1, "high": 2}}}, network={"widths": [9, 9]}
    )
    response = post(client, job_id, "clone", {"network": {"widths": [9]}})
    (error,) = problem(response, 422)["errors"]
    assert error["field"] == "methods.fixed.depth.high"


@pytest.mark.parametrize("action", ["pause", "resume", "retry-failed", "clone"])
def test_a_job_that_there_is_not_is_not_found(client: httpx.Client, action: str) -> None:
    problem(post(client, "job-0000000000", action), 404)
    problem(client.patch(f"{JOBS}/job-0000000000", json={}), 404)
    problem(client.delete(f"{JOBS}/job-0000000000"), 404)


def test_a_deleted_job_leaves_nothing_but_files_that_others_have(
    client: httpx.Client, worker: WorkerActor, store: Store, settings: Settings
) -> None:
    files = Artifacts(settings.artifacts_url)
    kept = worker.submit()
    worker.claim()
    worker.finish(0, weights=b"shared")
    worker.release("succeeded")
    before = count_rows(store)
    job_id = worker.submit(labels={"a": "b"})
    ok(client.post(JOBS, json=spec(), headers={"Idempotency-Key": "k"}))
    worker.claim()
    worker.finish(0, weights=b"shared")
    worker.finish(1, weights=b"own")
    problem(client.delete(f"{JOBS}/{job_id}"), 409)
    worker.release("succeeded")
    assert client.delete(f"{JOBS}/{job_id}").status_code == 204
    other = ok(client.post(JOBS, json=spec(), headers={"Idempotency-Key": "k"}))["id"]
    assert client.delete(f"{JOBS}/{other}").status_code == 204
    # Each deletion is told, and that stays.
    assert count_rows(store) == before | {"events": before["events"] + 2}
    assert files.has(sha256(b"shared"))
    assert not files.has(sha256(b"own"))
    problem(client.get(f"{JOBS}/{job_id}"), 404)
    (network_,) = ok(client.get(f"{JOBS}/{kept}/networks"))["items"]
    assert client.get(f"/api/v1/networks/{network_['id']}/weights").content == b"shared"


def test_a_file_that_was_deleted_can_be_handed_in_again(
    client: httpx.Client, worker: WorkerActor
) -> None:
    for _ in range(2):
        job_id = worker.submit()
        worker.claim()
        worker.finish(0, weights=b"same")
        worker.release("succeeded")
        assert client.delete(f"{JOBS}/{job_id}").status_code == 204


def test_every_table_that_names_a_job_is_emptied_of_it() -> None:
    naming = {
        table.name
        for table in metadata.tables.values()
        if any(key.column.table.name == "jobs" for key in table.foreign_keys)
    }
    assert naming | {"events"} == {table.name for table in removal._OWNED}


def test_a_release_by_a_worker_that_lost_a_paused_job_is_refused(store: Store) -> None:
    job_id = hands.submit(store)
    held = hands.claim(store, seconds=hands.OVER)
    hands.expire(store)
    with store.writing() as tx, pytest.raises(leases.LeaseLostError):
        leases.release_job(tx, job_id, held.token, JobEnd(state=JobState.PAUSED))


def count_rows(store: Store) -> dict[str, int]:
    """Count what is stored; the audit trail tells of what is gone, and stays."""
    with store.reading() as tx:
        return {
            table.name: tx.connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in metadata.tables.values()
            if table.name != "audit"
        }


def test_a_renamed_job_keeps_the_rest_of_its_spec(store: Store) -> None:
    with store.writing() as tx:
        job = jobs.create_job(tx, JobSpec.model_validate(spec(name="a", seed=9)))
        renamed = jobs.change_job(tx, job.id, JobPatch(name="b"))
    assert renamed.spec == job.spec.model_copy(update={"name": "b"})
