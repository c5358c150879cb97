"""Jobs that name a network family: what live workers can't build is refused before it is queued."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from service.store import Slice, Store, job_lists
from service.store.clock import now
from service.store.families import ALIVE_SECONDS
from service.store.tables import workers
from tests.service import hands
from tests.service.actors import WorkerActor, ok, problem, spec
from tests.service.arrays import npz, rows
from tests.service.test_metrics import counted_statements

JOBS = "/api/v1/jobs"


def layer(name: str, full: int = 50, least: int = 1) -> dict[str, Any]:
    return {"name": name, "full": full, "least": least}


LENET = {
    "name": "lenet5",
    "layers": [layer("conv1"), layer("conv2"), layer("fc", 5000)],
    "image_side": 16,
}
RESIDUAL = {
    "name": "residual_mlp",
    "layers": [layer("stream", 128)],
    "repeated": layer("block{}", 256, 0),
    "repeats": 4,
}
STACK = {"name": "stack", "layers": [], "repeated": layer("deep{}", 9), "repeats": 2}
OFFERS = [LENET, RESIDUAL, STACK]


def offer(client: httpx.Client, families: Any = OFFERS, *, name: str = "w1") -> None:
    body = {"worker": name, "families": families}
    assert client.post("/api/v1/worker/claim", json=body).status_code in {200, 204}


def upload_images(client: httpx.Client, side: int = 16) -> None:
    found = rows(60, inputs=side * side)
    content = npz(x=found["x"].reshape(60, 1, side, side), y=found["y"])
    headers = {"Content-Type": "application/zip"}
    ok(client.post(f"/api/v1/datasets?name=images{side}", content=content, headers=headers))


def submit(client: httpx.Client, network: Any, **changes: Any) -> httpx.Response:
    return client.post(JOBS, json=spec(network=network, **changes))


def refused(response: httpx.Response) -> tuple[str, str]:
    (error,) = problem(response, 422)["errors"]
    return error["field"], error["allowed"]


def test_the_bounds_of_a_family_are_filled_in_where_a_worker_told_them(client: TestClient) -> None:
    offer(client)
    found = ok(submit(client, {"family": "residual_mlp"}))["spec"]["network"]
    assert found == {"family": "residual_mlp", "widths": [128, 256, 256, 256, 256]}
    found = ok(submit(client, {"family": "stack"}))["spec"]["network"]
    assert found["widths"] == [9, 9]
    found = ok(submit(client, {"family": "residual_mlp", "widths": [16, 0, 8]}))["spec"]["network"]
    assert found["widths"] == [16, 0, 8]
    assert ok(submit(client, {}))["spec"]["network"] == {"family": "mlp", "widths": [256, 256]}


def test_a_family_that_no_live_worker_has_is_refused_with_those_they_have(
    client: TestClient,
) -> None:
    offer(client)
    offer(client, [STACK], name="w2")
    field, allowed = refused(submit(client, {"family": "alexnet"}))
    assert field == "network.family"
    assert set(allowed.removeprefix("one that a worker here has: ").split(", ")) == {
        "lenet5",
        "residual_mlp",
        "stack",
    }
    assert refused(client.post(f"{JOBS}?dry_run=true", json=spec(network={"family": "no"})))
    job_id = ok(submit(client, {}))["id"]
    clone = client.post(f"{JOBS}/{job_id}/clone", json={"network": {"family": "alexnet"}})
    assert refused(clone)[0] == "network.family"


def test_a_job_is_taken_as_it_is_where_nobody_knows(client: TestClient, store: Store) -> None:
    network = {"family": "alexnet"}
    assert ok(submit(client, network))["spec"]["network"] == {**network, "widths": None}
    offer(client, None, name="silent about it")
    assert ok(submit(client, network))
    offer(client, OFFERS)
    assert ok(submit(client, network)), "one worker did not say"
    offer(client, OFFERS, name="silent about it")
    refused(submit(client, network))
    with store.writing() as tx:
        long_ago = now(plus_seconds=-ALIVE_SECONDS - 1)
        tx.connection.execute(update(workers).values(last_seen_at=long_ago))
    assert ok(submit(client, network)), "they are gone"


@pytest.mark.parametrize(
    ("network", "dataset", "methods", "field", "words"),
    [
        ({"family": "lenet5"}, "digits", {}, "dataset", "of at least 16 × 16 pixels"),
        ({"family": "lenet5"}, "images8", {}, "dataset", "of at least 16 × 16 pixels"),
        (
            {"family": "lenet5", "widths": [5, 5]},
            "images16",
            {},
            "network.widths",
            "3 numbers for the family 'lenet5': conv1, conv2, fc",
        ),
        (
            {"family": "lenet5", "widths": [5, 0, 5]},
            "images16",
            {},
            "network.widths.1",
            "at least 1 for conv2",
        ),
        (
            {"family": "residual_mlp", "widths": [5]},
            "digits",
            {},
            "network.widths",
            "2 or more numbers for the family 'residual_mlp': stream, block1",
        ),
        (
            {"family": "lenet5"},
            "images16",
            {"fixed": {"depth": {"low": 1, "high": 1}}},
            "methods.fixed.depth.high",
            "at most 0, the layers of these bounds that a network of the family 'lenet5' can",
        ),
        (
            {"family": "residual_mlp", "widths": [9, 9, 0, 9]},
            "digits",
            {"fixed": {"depth": {"low": 1, "high": 3}}},
            "methods.fixed.depth.high",
            "at most 2",
        ),
        (
            {"family": "lenet5"},
            "images16",
            {"fixed_l2": {"width": {"low": 1, "high": 51}}},
            "methods.fixed_l2.width.high",
            "at most 50, the least of network.widths",
        ),
        ({"family": "mlp", "widths": [0]}, "digits", {}, "network.widths.0", "at least 1"),
        ({"widths": [9] * 17}, "digits", {}, "network.widths", "at most 16 items"),
        ({"family": "a b"}, "digits", {}, "network.family", "text that matches"),
        ({"family": "../x"}, "digits", {}, "network.family", "text that matches"),
        ({"widths": [-1]}, "digits", {}, "network.widths.0", "at least 0"),
    ],
    ids=str,
)
def test_what_the_family_cannot_be_is_refused_by_field(
    client: TestClient, network: Any, dataset: str, methods: Any, field: str, words: str
) -> None:
    offer(client)
    for side in (8, 16):
        upload_images(client, side)
    body = {"dataset": dataset, "network": network, "methods": methods or {"path": {}}}
    found, allowed = refused(client.post(JOBS, json=body))
    assert found == field
    assert words in allowed


def test_a_dry_run_says_that_only_workers_count_such_networks(
    client: TestClient, worker: WorkerActor
) -> None:
    worker.submit(training={"epochs": 2})
    worker.claim()
    worker.finish()
    offer(client)
    body = spec(network={"family": "residual_mlp"}, training={"epochs": 2})
    plan = ok(client.post(f"{JOBS}?dry_run=true", json=body))
    assert (plan["largest_parameters"], plan["largest_macs"]) == (None, None)
    assert plan["spec"]["network"]["widths"] == [128, 256, 256, 256, 256]
    assert plan["training_seconds"] is None, "the perceptrons' pace tells nothing"
    assert plan["unknown_because"] == (
        "The size: only workers can count networks of 'residual_mlp'. The time: no trial of "
        "shrinknets with the family 'residual_mlp' has ended on 'digits' here yet."
    )


def test_families_and_workers_tell_what_can_be_built(client: TestClient) -> None:
    assert ok(client.get("/api/v1/families"))["items"] == []
    offer(client, None)
    assert ok(client.get("/api/v1/workers"))[0]["families"] is None
    offer(client)
    assert ok(client.get("/api/v1/workers"))[0]["families"] == ["lenet5", "residual_mlp", "stack"]
    (first, *_) = ok(client.get("/api/v1/families"))["items"]
    assert first == {**LENET, "repeated": None, "repeats": 1}


REASON = "Waits for a worker that has the network family 'alexnet': none that is here does."


def reasons(client: httpx.Client, *job_ids: str) -> set[str]:
    """What jobs say, each by itself and in the list."""
    alone = [ok(client.get(f"{JOBS}/{job_id}")) for job_id in job_ids]
    listed = [job for job in ok(client.get(JOBS))["items"] if job["id"] in job_ids]
    assert len(listed) == len(job_ids)
    return {job["reason"] for job in alone + listed}


def test_a_job_that_no_worker_can_run_says_so_until_one_comes(
    client: TestClient, worker: WorkerActor
) -> None:
    first, second = (ok(submit(client, {"family": "alexnet"}))["id"] for _ in range(2))
    assert reasons(client, first, second) == {""}, "no worker is there"
    offer(client, None, name="w2")
    assert reasons(client, first, second) == {""}, "it did not say"
    offer(client)
    assert reasons(client, first, second) == {""}, "one of two did not say"
    offer(client, [STACK], name="w2")
    assert reasons(client, first, second) == {REASON}
    assert REASON.replace("'", "&#39;") in client.get(f"/jobs/{first}").text
    assert ok(worker.claim("w3", [{"name": "alexnet", "layers": []}]))["job"]["reason"] == ""
    assert reasons(client, first, second) == {""}, "one is there, though it is busy"


def test_only_queued_jobs_wait_for_a_worker_that_has_their_family(client: TestClient) -> None:
    ended, paused, waiting = (ok(submit(client, {"family": "alexnet"}))["id"] for _ in range(3))
    plain = ok(submit(client, {}))["id"]
    ok(client.post(f"{JOBS}/{ended}/cancel"))
    ok(client.post(f"{JOBS}/{paused}/pause"))
    offer(client, name="w1")
    assert reasons(client, waiting) == {REASON}
    assert reasons(client, ended) == {"Cancelled on request, while no worker had it."}
    assert REASON not in reasons(client, paused, plain)


def test_a_page_of_jobs_that_no_worker_can_run_takes_one_query_more(
    client: TestClient, store: Store
) -> None:
    def queries() -> int:
        with counted_statements(store) as statements, store.reading() as tx:
            items = job_lists.list_jobs(tx, Slice(limit=50)).items
        assert {job.reason for job in items} <= {REASON, ""}
        return sum(line.startswith("SELECT") for line in statements)

    hands.submit(store)
    plain = queries()
    for _ in range(20):
        hands.submit(store, family="alexnet")
    offer(client)
    offer(client)
    assert queries() == plain + 1 == 5


def test_the_page_of_a_job_names_family_and_layers(client: TestClient, worker: WorkerActor) -> None:
    offer(client)
    upload_images(client)
    job_id = worker.submit(network={"family": "lenet5"}, dataset="images16")
    worker.claim(families=OFFERS)
    worker.finish()
    text = client.get(f"/jobs/{job_id}").text
    assert "<dd>lenet5</dd>" in text
    assert "conv1 50, conv2 50, fc 5,000" in text
    assert "Widths are those of conv1, conv2, fc; 0 is a layer that is gone." in text


def test_the_page_of_a_job_whose_family_nobody_knows_has_no_names(client: TestClient) -> None:
    for network, shown in (
        ({"family": "own"}, "as its family has it"),
        ({"family": "own", "widths": [3, 4]}, "3-4"),
    ):
        job_id = ok(submit(client, network))["id"]
        assert f"<dt>Widest network</dt><dd>{shown}</dd>" in client.get(f"/jobs/{job_id}").text


@pytest.mark.parametrize(
    "families",
    [
        [{**LENET, "name": "<script>"}],
        [{**LENET, "layers": [layer("x", -1)]}],
        [{**LENET, "layers": [layer("\x00")]}],
        [{**STACK, "repeats": 10**9}],
        [LENET] * 1001,
        "all",
    ],
    ids=lambda families: str(families)[:30],
)
def test_an_offer_that_is_none_is_refused(client: TestClient, families: Any) -> None:
    body = {"worker": "w1", "families": families}
    problem(client.post("/api/v1/worker/claim", json=body), 422)
