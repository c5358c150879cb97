"""Submissions that are sent again, and submissions that are only checked."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import pytest
import torch
from sqlalchemy import update

from service.estimates import Shape, mlp_size
from service.store import Store, datasets, jobs, submissions
from service.store.clock import now
from service.store.tables import idempotency_keys
from shrinknets.wire import BuiltInDataset, JobSubmission, Role
from shrinknets_core import load_dataset
from shrinknets_core.families.mlp import mlp_family
from tests.service.actors import WorkerActor, ok, problem, record, spec
from tests.service.guarded import bearer, make_key

JOBS = "/api/v1/jobs"
DIGITS = Shape.of([64], 10)
BY_DEFAULT = {"network": {"widths": [256, 256]}, "priority": 0, "labels": {}, "seed": 0}


def submit(client: httpx.Client, key: str, **changes: Any) -> httpx.Response:
    return client.post(JOBS, json=spec(**changes), headers={"Idempotency-Key": key})


def count_jobs(client: httpx.Client) -> int:
    return len(ok(client.get(JOBS))["items"])


def test_the_same_key_and_body_give_the_same_job_again(client: httpx.Client) -> None:
    first = submit(client, "k1", name="mine")
    again = submit(client, "k1", name="mine")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert count_jobs(client) == 1


def test_a_body_that_says_what_is_so_by_default_is_the_same(client: httpx.Client) -> None:
    first = ok(submit(client, "k1"))
    assert ok(submit(client, "k1", **BY_DEFAULT))["id"] == first["id"]


def test_the_job_is_given_again_as_it_stands_now(client: httpx.Client) -> None:
    job_id = ok(submit(client, "k1"))["id"]
    ok(client.post(f"{JOBS}/{job_id}/cancel"))
    assert ok(submit(client, "k1"))["state"] == "cancelled"


@pytest.mark.parametrize("change", [{"seed": 1}, {"priority": 1}, {"labels": {"a": "b"}}])
def test_the_same_key_with_another_body_is_a_conflict(
    client: httpx.Client, change: dict[str, Any]
) -> None:
    ok(submit(client, "k1"))
    assert "'k1' was used" in problem(submit(client, "k1", **change), 409)["detail"]
    assert count_jobs(client) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\t"])
def test_a_key_that_is_none_is_refused(client: httpx.Client, key: str) -> None:
    assert problem(submit(client, key), 422)["errors"][0]["field"] == "Idempotency-Key"


def test_an_invalid_submission_takes_no_key(client: httpx.Client) -> None:
    problem(submit(client, "k1", dataset="none"), 422)
    assert submit(client, "k1").status_code == 201


def test_clients_that_submit_at_once_with_one_key_make_one_job(store: Store) -> None:
    together, submission = Barrier(8), JobSubmission.model_validate(spec())

    def one(_: int) -> tuple[str, bool]:
        together.wait()
        with store.writing() as tx:
            job, is_new = submissions.submit_job(tx, submission, key="same")
        return job.id, is_new

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(8)))
    assert len({job_id for job_id, _ in answers}) == 1
    assert sum(is_new for _, is_new in answers) == 1


def test_who_waits_for_a_key_whose_first_use_is_undone_makes_the_job(store: Store) -> None:
    submission = JobSubmission.model_validate(spec())

    def fail() -> None:
        with store.writing() as tx:
            submissions.submit_job(tx, submission, key="same")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.writing() as tx:
        job, is_new = submissions.submit_job(tx, submission, key="same")
    assert is_new
    with store.reading() as tx:
        assert jobs.get_job(tx, job.id) == job


def test_owners_do_not_get_each_others_jobs_for_a_key(client: httpx.Client, store: Store) -> None:
    with store.writing() as tx:
        submission = JobSubmission.model_validate(spec(name="anybody's"))
        anybodys, _ = submissions.submit_job(tx, submission, key="k1")
    own = {role: make_key(store, role)[1] for role in (Role.SUBMITTER, Role.ADMIN)}
    again = make_key(store, Role.SUBMITTER)[1]

    def post(key: str, **changes: Any) -> httpx.Response:
        headers = {"Idempotency-Key": "k1", **bearer(key)}
        return client.post(JOBS, json=spec(**changes), headers=headers)

    first, second = (post(key, name=role) for role, key in own.items())
    assert (first.status_code, second.status_code) == (201, 201)
    assert len({anybodys.id, first.json()["id"], second.json()["id"]}) == 3
    # Another key of the same owner is the same owner.
    assert ok(post(again, name=Role.SUBMITTER))["id"] == first.json()["id"]
    problem(post(again, name="other"), 409)


def test_a_key_is_forgotten_after_a_day(store: Store) -> None:
    submission = JobSubmission.model_validate(spec())
    with store.writing() as tx:
        for key in ("old", "new"):
            submissions.submit_job(tx, submission, key=key)
        old = idempotency_keys.c.key == "old"
        age = now(plus_seconds=-submissions.KEEP_SECONDS - 1)
        tx.connection.execute(update(idempotency_keys).where(old).values(created_at=age))
        submissions.forget_old_keys(tx)
        assert submissions.submit_job(tx, submission, key="old")[1]
        assert not submissions.submit_job(tx, submission, key="new")[1]


def test_a_dry_run_tells_the_whole_spec_and_stores_nothing(client: httpx.Client) -> None:
    body = spec(network={"widths": [20, 10]}, labels={"team": "vision"}, priority=3)
    response = client.post(f"{JOBS}?dry_run=true", json=body, headers={"Idempotency-Key": "k"})
    assert response.status_code == 200
    plan = response.json()
    assert plan["spec"]["training"]["epochs"] == 60
    assert (plan["labels"], plan["priority"], plan["total_trials"]) == ({"team": "vision"}, 3, 2)
    assert plan["largest_parameters"] == 65 * 20 + 21 * 10 + 11 * 10
    assert plan["largest_macs"] == 64 * 20 + 20 * 10 + 10 * 10
    assert plan["training_seconds"] is None
    assert plan["unknown_because"] == (
        "The time: no trial of shrinknets has ended on 'digits' here yet."
    )
    assert count_jobs(client) == 0
    assert submit(client, "k").status_code == 201


def test_a_dry_run_tells_the_time_at_the_pace_of_trials_that_ended(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit(training={"epochs": 2})
    worker.claim()
    # 0.2, 0.5 and 4 seconds for two epochs each; one trial more that failed.
    for number, seconds in enumerate((0.1, 0.25, 2.0)):
        attempt = worker.begin(number)
        ok(worker.report(attempt, *(record(step, seconds=seconds) for step in (1, 2))))
        ok(worker.end(attempt))
    attempt = worker.begin(3)
    ok(worker.report(attempt, record(1, seconds=99.0)))
    ok(worker.end(attempt, "failed"))
    body = spec(methods={"shrinknets": {"trials": 10}}, training={"epochs": 100})
    plan = ok(client.post(f"{JOBS}?dry_run=true", json=body))
    assert plan["training_seconds"] == pytest.approx(10 * 100 * 0.25)
    assert plan["unknown_because"] == ""
    other = ok(client.post(f"{JOBS}?dry_run=true", json={**body, "dataset": "wine"}))
    assert other["training_seconds"] is None


def test_a_dry_run_says_what_is_wrong(client: httpx.Client) -> None:
    problem(client.post(f"{JOBS}?dry_run=true", json=spec(dataset="none")), 422)


@pytest.mark.parametrize(
    ("methods", "widths"),
    [
        ({"path": {}, "fixed": {"width": {"low": 2, "high": 5}}}, [30, 20]),
        ({"fixed": {"width": {"low": 2, "high": 5}}}, [5, 5]),
        ({"fixed": {"depth": {"low": 1, "high": 1}}}, [30]),
    ],
)
def test_the_largest_network_stays_within_what_the_methods_may_try(
    client: httpx.Client, methods: Any, widths: list[int]
) -> None:
    body = spec(methods=methods, network={"widths": [30, 20]})
    plan = ok(client.post(f"{JOBS}?dry_run=true", json=body))
    size = mlp_size(DIGITS, widths)
    assert (plan["largest_parameters"], plan["largest_macs"]) == (size.parameters, size.macs)


def test_a_deeper_network_can_be_the_smaller_one(client: httpx.Client) -> None:
    body = spec(methods={"fixed": {}}, network={"widths": [30, 1]})
    plan = ok(client.post(f"{JOBS}?dry_run=true", json=body))
    assert plan["largest_parameters"] == mlp_size(DIGITS, [30]).parameters


@pytest.mark.parametrize("name", BuiltInDataset)
def test_sizes_are_those_of_the_networks_that_are_trained(name: str, store: Store) -> None:
    split = load_dataset(name, seed=0)
    with store.reading() as tx:
        found = datasets.get_dataset(tx, name)
    assert (tuple(found.input_shape), found.num_classes) == (split.input_shape, split.num_classes)
    labels = torch.cat([part.y for part in (split.train, split.validation, split.test)])
    assert found.class_counts == torch.bincount(labels).tolist()
    assert found.rows == len(labels)
    shape = Shape.of(found.input_shape, found.num_classes)
    counted = mlp_family().size(split.input_shape, (17, 5), split.num_classes)
    assert mlp_size(shape, [17, 5]).parameters == counted.parameters
    assert mlp_size(shape, [17, 5]).macs == counted.macs
