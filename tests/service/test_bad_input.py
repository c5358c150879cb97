"""Bad input is answered with the field, what was given and what is allowed; never with a 500."""

from typing import Any

import httpx
import pytest

from tests.service.actors import WorkerActor, network, ok, problem, record, spec

DATASETS = "one of 'digits', 'breast_cancer' or 'wine'"
JSON = {"Content-Type": "application/json"}


def methods(**searches: Any) -> dict[str, Any]:
    return spec(methods=searches)


def lam(low: Any, high: Any) -> dict[str, Any]:
    return methods(shrinknets={"lam": {"low": low, "high": high}})


@pytest.mark.parametrize(
    ("body", "field", "given", "allowed"),
    [
        pytest.param(spec(dataset="mnist"), "dataset", "'mnist'", DATASETS, id="data-set"),
        pytest.param(
            methods(magic={}),
            "methods.magic",
            "{}",
            "only the fields shrinknets, path, fixed, fixed_l2",
            id="method",
        ),
        pytest.param(
            methods(), "methods", "{}", "name at least one method of shrinknets", id="no-method"
        ),
        pytest.param(
            lam(0.1, 0.01),
            "methods.shrinknets.lam",
            "{'high': 0.01, 'low': 0.1}",
            "low must not exceed high",
            id="range-upside-down",
        ),
        pytest.param(
            lam(0, 1),
            "methods.shrinknets.lam.low",
            "0",
            "a number greater than 0",
            id="range-from-zero",
        ),
        pytest.param(
            lam(-1, 1),
            "methods.shrinknets.lam.low",
            "-1",
            "a number greater than 0",
            id="range-from-below-zero",
        ),
        pytest.param(
            methods(fixed={"trials": 0}),
            "methods.fixed.trials",
            "0",
            "a number of at least 1",
            id="zero-trials",
        ),
        pytest.param(
            spec(network={"widths": [64, 0]}),
            "network.widths.1",
            "0",
            "a number of at least 1",
            id="width-zero",
        ),
        pytest.param(
            spec(network={"widths": []}), "network.widths", "[]", "at least 1 items", id="no-widths"
        ),
        pytest.param(
            methods(fixed={"trials": "10"}),
            "methods.fixed.trials",
            "'10'",
            "a whole number",
            id="digits-in-a-string",
        ),
        pytest.param(
            methods(fixed={"trials": "many"}),
            "methods.fixed.trials",
            "'many'",
            "a whole number",
            id="word-for-a-number",
        ),
        pytest.param(
            lam("small", 1), "methods.shrinknets.lam.low", "'small'", "a number", id="word-for-lam"
        ),
        pytest.param(
            methods(fixed={"trials": True}),
            "methods.fixed.trials",
            "True",
            "a whole number",
            id="true-for-a-number",
        ),
        pytest.param(
            methods(fixed={"trials": 1.5}),
            "methods.fixed.trials",
            "1.5",
            "a whole number",
            id="half-a-trial",
        ),
        pytest.param(
            methods(fixed={"depth": {"low": 1, "high": 5}}),
            "methods.fixed.depth.high",
            "5",
            "at most 2, as many as network.widths has",
            id="deeper-than-the-bounds",
        ),
        pytest.param(
            methods(fixed_l2={"width": {"low": 4, "high": 999}}),
            "methods.fixed_l2.width.high",
            "999",
            "at most 256, the least of network.widths",
            id="wider-than-the-bounds",
        ),
        pytest.param(
            spec(sampler="grid"), "sampler", "'grid'", "one of 'tpe', 'random', 'gp'", id="sampler"
        ),
        pytest.param(
            spec(colour="red"),
            "colour",
            "'red'",
            "only the fields name, dataset, network, methods, training, sampler, pruner, objective",
            id="unknown-field",
        ),
        pytest.param(
            {"methods": {"path": {}}},
            "dataset",
            "nothing",
            "a value: the field is required",
            id="no-data-set",
        ),
        pytest.param(
            spec(training={"lr": 0}), "training.lr", "0", "a number greater than 0", id="no-lr"
        ),
        pytest.param(
            spec(training=[]),
            "training",
            "[]",
            "a JSON object with the fields epochs, batch_size, lr, weight_decay",
            id="list-for-an-object",
        ),
        pytest.param(
            spec(seed=10**40), "seed", "1000000", "a number less than 2147483648", id="huge-seed"
        ),
        pytest.param(
            spec(name="x" * 201), "name", "'xxx", "text of at most 200 characters", id="long-name"
        ),
        pytest.param([], "body", "[]", "a JSON object with the fields name", id="list-for-a-job"),
    ],
)
def test_a_wrong_job_is_answered_with_the_field_that_is_wrong(
    client: httpx.Client, body: Any, field: str, given: str, allowed: str
) -> None:
    answer = problem(client.post("/api/v1/jobs", json=body), 422)
    (error,) = answer["errors"]
    assert error["field"] == field
    assert error["given"].startswith(given)
    assert error["allowed"].startswith(allowed)
    assert answer["detail"].startswith(f"{field}: got {given}")
    assert ok(client.get("/api/v1/jobs"))["items"] == []


def test_every_wrong_field_is_named_at_once(client: httpx.Client) -> None:
    body = spec(dataset="no name", seed=-1, methods={"path": {"trials": 0}})
    errors = problem(client.post("/api/v1/jobs", json=body), 422)["errors"]
    assert {e["field"] for e in errors} == {"dataset", "seed", "methods.path.trials"}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"{", id="cut-off"),
        pytest.param(b"dataset=digits", id="form"),
        pytest.param(b"\xff\xfe", id="no-text"),
        pytest.param(b"[" * 100_000, id="nested-without-end"),
        pytest.param(b"", id="empty"),
        pytest.param(b'{"seed": ' + b"9" * 5000 + b"}", id="number-without-end"),
    ],
)
def test_a_body_that_is_not_json_is_answered_with_that(client: httpx.Client, body: bytes) -> None:
    (error,) = problem(client.post("/api/v1/jobs", content=body, headers=JSON), 422)["errors"]
    assert error["field"] == "body"
    assert "JSON" in error["allowed"]


def test_a_body_that_is_not_called_json_is_answered_with_that(client: httpx.Client) -> None:
    (error,) = problem(client.post("/api/v1/jobs", content=b"{}"), 422)["errors"]
    assert (error["field"], error["given"]) == ("body", "b'{}'")
    assert error["allowed"].startswith("a JSON object")


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=%00", "cursor"), ("cursor=-1", "cursor")],
)
def test_a_wrong_part_of_a_list_is_named(client: httpx.Client, query: str, field: str) -> None:
    (error,) = problem(client.get(f"/api/v1/jobs?{query}"), 422)["errors"]
    assert error["field"] == field


HOSTILE = [
    pytest.param(b'"a\\u0000b"', id="nul"),
    pytest.param(b'"\\ud800"', id="lone-surrogate"),
    pytest.param(b"1" + b"0" * 400, id="huge-integer"),
    pytest.param(b"1e999", id="infinity"),
    pytest.param(b"NaN", id="nan"),
    pytest.param(b"-1", id="negative"),
    pytest.param(b"null", id="null"),
    pytest.param(b'{"\\u0000\\udc00": 1}', id="hostile-key"),
]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("field", ["name", "dataset", "seed", "network", "methods", "training"])
def test_no_hostile_value_in_a_job_breaks_the_service(
    client: httpx.Client, field: str, value: bytes
) -> None:
    body = b'{"dataset": "digits", "methods": {"path": {}}, "%s": %s}' % (field.encode(), value)
    problem(client.post("/api/v1/jobs", content=body, headers=JSON), 422)


@pytest.mark.parametrize("value", HOSTILE)
def test_no_hostile_value_from_a_worker_breaks_the_service(
    worker: WorkerActor, value: bytes
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    job, own = f"/jobs/{worker.job_id}", f"/attempts/{attempt['id']}"
    requests = [
        ("/claim", {"worker": "HERE"}, ""),
        (f"{job}/trials", {"method": "path", "number": "HERE", "params": {}, "seed": 1}, "job"),
        (f"{job}/trials", {"method": "path", "number": 7, "params": {}, "seed": "HERE"}, "job"),
        (f"{job}/trials", {"method": "path", "number": 8, "params": "HERE", "seed": 1}, "job"),
        (
            f"{job}/trials",
            {"method": "path", "number": 9, "params": {"a": "HERE"}, "seed": 1},
            "job",
        ),
        *((f"{own}/records", {"records": [record(1) | {f: "HERE"}]}, "own") for f in record(1)),
        *((f"{own}/end", {"state": "complete", "networks": [n]}, "own") for n in _networks()),
        (f"{own}/end", {"state": "failed", "reason": "HERE"}, "own"),
        (f"{job}/release", {"state": "failed", "reason": "HERE"}, "job"),
    ]
    tokens = {"": "", "job": worker.token, "own": attempt["token"]}
    for path, body, token in requests:
        content = httpx.Request("POST", "http://x", json=body).content.replace(b'"HERE"', value)
        response = worker.client.post(
            f"/api/v1/worker{path}",
            content=content,
            headers={**JSON, "Lease-Token": tokens[token]},
        )
        assert response.status_code < 500, f"{path} {content!r}: {response.text}"
    for path in (f"/jobs/{worker.job_id}/trials", "/jobs"):
        ok(worker.client.get(f"/api/v1{path}"))


def _networks() -> list[dict[str, Any]]:
    return [network(b"w", **{field: "HERE"}) for field in network(b"w")]


@pytest.mark.parametrize(
    "path", ["/jobs/%00", "/jobs/job-%ED%A0%80", "/trials/trial-%00", "/networks/%FF/weights"]
)
def test_no_hostile_path_breaks_the_service(client: httpx.Client, path: str) -> None:
    problem(client.get(f"/api/v1{path}"), 404)


@pytest.mark.parametrize("token", ["", " ", "x" * 5000, "\u00e9"])
def test_no_hostile_token_breaks_the_service(worker: WorkerActor, token: str) -> None:
    worker.submit()
    worker.claim()
    headers = {"Lease-Token": token.encode("latin-1")}
    path = f"/api/v1/worker/jobs/{worker.job_id}/renew"
    assert worker.client.post(path, headers=headers).status_code in {409, 422}
