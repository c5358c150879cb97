"""Trials, epochs, networks, frontiers and weights: filtered, sorted, thinned, in parts."""

import random
from typing import Any

import httpx
import pytest
from sqlalchemy import insert

from service.store import Store, networks
from service.store.clock import now
from service.store.comparisons import quartiles
from service.store.tables import artifacts
from service.store.tables import networks as networks_table
from shrinknets.frontier import frontier
from shrinknets.wire import Network, NetworkSort, TrialSort
from tests.service import hands
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256

WEIGHTS = bytes(range(200))


def get(client: httpx.Client, path: str) -> Any:
    return ok(client.get(f"/api/v1{path}"))


def pages(client: httpx.Client, path: str, limit: int) -> list[str]:
    found, cursor = [], ""
    while True:
        page = get(client, f"{path}&limit={limit}{cursor}")
        found += [item["id"] for item in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.fixture
def job_id(worker: WorkerActor) -> str:
    """A job with five trials: two complete, one failed, one running, one waiting."""
    job_id = worker.submit(methods={"shrinknets": {"trials": 4}, "fixed": {"trials": 1}})
    worker.claim()
    worker.finish(0)
    worker.finish(1, weights=WEIGHTS)
    ok(worker.end(worker.begin(2), "failed"))
    ok(worker.report(worker.begin(3), record(1, validation_accuracy=0.25)))
    ok(worker.announce(0, method="fixed", params={"depth": 1}))
    return job_id


def numbers(client: httpx.Client, job_id: str, query: str) -> list[tuple[str, int]]:
    found = get(client, f"/jobs/{job_id}/trials?{query}")["items"]
    return [(trial["method"], trial["number"]) for trial in found]


def test_trials_are_filtered_by_state_and_method(client: httpx.Client, job_id: str) -> None:
    assert numbers(client, job_id, "state=complete") == [("shrinknets", 0), ("shrinknets", 1)]
    assert numbers(client, job_id, "state=failed&state=waiting") == [
        ("shrinknets", 2),
        ("fixed", 0),
    ]
    assert numbers(client, job_id, "method=fixed") == [("fixed", 0)]
    assert numbers(client, job_id, "method=fixed&state=running") == []


def test_trials_without_a_value_come_last_in_both_directions(
    client: httpx.Client, job_id: str
) -> None:
    def accuracies(sort: str) -> list[float | None]:
        found = get(client, f"/jobs/{job_id}/trials?sort={sort}")["items"]
        return [trial["validation_accuracy"] for trial in found]

    assert accuracies("validation_accuracy") == [0.25, 0.9, 0.9, None, None]
    assert accuracies("-validation_accuracy") == [0.9, 0.9, 0.25, None, None]


@pytest.mark.parametrize("sort", TrialSort)
def test_pages_of_trials_hold_each_once_under_every_sort(
    client: httpx.Client, job_id: str, sort: TrialSort
) -> None:
    path = f"/jobs/{job_id}/trials?sort={sort.value}"
    whole = [trial["id"] for trial in get(client, path)["items"]]
    assert len(set(whole)) == 5
    for limit in (1, 2, 3):
        assert pages(client, path, limit) == whole


def test_wrong_filters_of_trials_are_named(client: httpx.Client, job_id: str) -> None:
    for query in ("state=ended", "method=magic", "sort=params"):
        (error,) = problem(client.get(f"/api/v1/jobs/{job_id}/trials?{query}"), 422)["errors"]
        assert error["field"].split(".")[0] == query.split("=", maxsplit=1)[0]


@pytest.fixture
def curve(worker: WorkerActor) -> str:
    """The id of a trial with the steps 1 to 100."""
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.report(attempt, *(record(step) for step in range(1, 101))))
    return str(attempt["trial"]["id"])


def steps(client: httpx.Client, trial_id: str, query: str) -> list[int]:
    found = get(client, f"/trials/{trial_id}/epochs?{query}")["items"]
    return [epoch["step"] for epoch in found]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("every=1", list(range(1, 101))),
        ("every=30", [1, 31, 61, 91, 100]),
        ("every=33", [1, 34, 67, 100]),
        ("every=1000000000", [1, 100]),
        ("max_points=2", [1, 100]),
        ("max_points=4", [1, 34, 67, 100]),
        ("max_points=100", list(range(1, 101))),
        ("max_points=5000", list(range(1, 101))),
    ],
)
def test_a_thinned_curve_keeps_its_first_and_last_epoch(
    client: httpx.Client, curve: str, query: str, expected: list[int]
) -> None:
    assert steps(client, curve, query) == expected


def test_a_thinned_curve_has_never_more_points_than_asked_for(
    client: httpx.Client, curve: str
) -> None:
    for most in range(2, 105, 7):
        found = steps(client, curve, f"max_points={most}")
        assert len(found) <= most
        assert (found[0], found[-1]) == (1, 100)


def test_a_thinned_curve_has_pages(client: httpx.Client, curve: str) -> None:
    path = f"/trials/{curve}/epochs?every=40&limit=2"
    first = get(client, path)
    rest = get(client, f"{path}&cursor={first['next']}")
    found = [epoch["step"] for page in (first, rest) for epoch in page["items"]]
    assert found == [1, 41, 81, 100]
    assert rest["next"] is None


def test_a_curve_of_no_or_one_epoch_is_thinned_to_itself(
    client: httpx.Client, worker: WorkerActor
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    trial_id = attempt["trial"]["id"]
    assert steps(client, trial_id, "max_points=2") == []
    ok(worker.report(attempt, record(7)))
    assert steps(client, trial_id, "max_points=2") == [7]
    assert steps(client, trial_id, "every=9&max_points=9") == [7]


@pytest.mark.parametrize("query", ["every=0", "max_points=1", "max_points=x", "every=9999999999"])
def test_wrong_thinning_is_refused(client: httpx.Client, curve: str, query: str) -> None:
    (error,) = problem(client.get(f"/api/v1/trials/{curve}/epochs?{query}"), 422)["errors"]
    assert error["field"] == query.split("=", maxsplit=1)[0]


@pytest.fixture
def found(client: httpx.Client, worker: WorkerActor) -> list[dict[str, Any]]:
    """Networks of two jobs, with sizes and accuracies that tie here and there."""
    for seed in (1, 2):
        draw = random.Random(seed)
        worker.submit()
        worker.claim()
        attempt = worker.begin()
        ok(worker.upload(attempt, WEIGHTS))
        several = [
            network(
                WEIGHTS,
                parameters=draw.randrange(12) * 100,
                macs=draw.randrange(12) * 10,
                validation_accuracy=draw.randrange(8) / 8,
                test_accuracy=draw.random(),
            )
            for _ in range(25)
        ]
        ok(worker.end(attempt, networks=several))
        ok(worker.release("succeeded"))
    networks_ = get(client, "/networks?sort=found&limit=100")["items"]
    assert len(networks_) == 50
    return list(networks_)


@pytest.mark.parametrize("sort", NetworkSort)
def test_networks_of_all_jobs_are_sorted_and_have_pages(
    client: httpx.Client, found: list[dict[str, Any]], sort: NetworkSort
) -> None:
    field, place = sort.value.removeprefix("-"), {n["id"]: i for i, n in enumerate(found)}
    expected = sorted(
        found,
        key=lambda n: (0 if field == "found" else n[field], place[n["id"]]),
        reverse=sort.value.startswith("-"),
    )
    ids = [n["id"] for n in expected]
    assert pages(client, f"/networks?sort={sort.value}", 7) == ids


def test_networks_are_filtered(client: httpx.Client, found: list[dict[str, Any]]) -> None:
    query = "max_parameters=600&max_macs=80&min_validation_accuracy=0.25&method=shrinknets"
    ids = {n["id"] for n in get(client, f"/networks?{query}")["items"]}
    assert ids == {
        n["id"]
        for n in found
        if n["parameters"] <= 600 and n["macs"] <= 80 and n["validation_accuracy"] >= 0.25
    }
    assert get(client, "/networks?method=path")["items"] == []
    for query in ("max_parameters=-1", "min_validation_accuracy=2", "min_validation_accuracy=nan"):
        problem(client.get(f"/api/v1/networks?{query}"), 422)


@pytest.mark.parametrize(
    "limits", [{}, {"max_parameters": 500}, {"max_macs": 40}, {"max_parameters": 0, "max_macs": 0}]
)
def test_the_frontier_is_the_one_that_the_client_finds(
    client: httpx.Client, found: list[dict[str, Any]], limits: dict[str, int]
) -> None:
    job_id = found[0]["job_id"]
    within = [
        Network.model_validate(n)
        for n in found
        if n["job_id"] == job_id
        and all(n[limit.removeprefix("max_")] <= most for limit, most in limits.items())
    ]
    query = "&".join(f"{name}={value}" for name, value in limits.items())
    answer = get(client, f"/jobs/{job_id}/frontier?{query}")
    assert answer["next"] is None
    assert [n["id"] for n in answer["items"]] == [n.id for n in frontier(within)]


def test_the_frontier_of_a_job_that_there_is_not_is_not_found(client: httpx.Client) -> None:
    problem(client.get("/api/v1/jobs/job-0000000000/frontier"), 404)


@pytest.fixture
def weights_path(client: httpx.Client, worker: WorkerActor) -> str:
    job_id = worker.submit()
    worker.claim()
    worker.finish(weights=WEIGHTS)
    (found,) = get(client, f"/jobs/{job_id}/networks")["items"]
    return f"/api/v1/networks/{found['id']}/weights"


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=190-", 190, 199),
        ("bytes=-5", 195, 199),
        ("bytes=-5000", 0, 199),
        ("bytes=150-9999", 150, 199),
    ],
)
def test_a_part_of_the_weights_is_sent_as_asked(
    client: httpx.Client, weights_path: str, asked: str, first: int, last: int
) -> None:
    response = client.get(weights_path, headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == WEIGHTS[first : last + 1]
    assert response.headers["content-range"] == f"bytes {first}-{last}/200"
    assert response.headers["content-length"] == str(last - first + 1)
    assert response.headers["etag"] == f'"{sha256(WEIGHTS)}"'


@pytest.mark.parametrize("asked", ["bytes=200-", "bytes=900-901", "bytes=-0"])
def test_a_range_beyond_the_end_is_a_416_problem(
    client: httpx.Client, weights_path: str, asked: str
) -> None:
    response = client.get(weights_path, headers={"Range": asked})
    assert "200 bytes" in problem(response, 416)["detail"]
    assert response.headers["content-range"] == "bytes */200"


@pytest.mark.parametrize("asked", ["bytes=5-1", "bytes=-", "lines=1-2", "bytes=0-1,5-6", "x"])
def test_a_range_that_cannot_be_read_is_ignored(
    client: httpx.Client, weights_path: str, asked: str
) -> None:
    response = client.get(weights_path, headers={"Range": asked})
    assert (response.status_code, response.content) == (200, WEIGHTS)
    assert response.headers["accept-ranges"] == "bytes"
    assert response.headers["content-disposition"].startswith('attachment; filename="net-')


def test_a_range_of_another_version_gives_the_whole_file(
    client: httpx.Client, weights_path: str
) -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"other"'}
    assert client.get(weights_path, headers=headers).status_code == 200
    headers["If-Range"] = f'"{sha256(WEIGHTS)}"'
    assert client.get(weights_path, headers=headers).status_code == 206


@pytest.mark.parametrize("form", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
def test_weights_that_the_client_has_are_not_sent_again(
    client: httpx.Client, weights_path: str, form: str
) -> None:
    headers = {"If-None-Match": form.format(sha256(WEIGHTS))}
    response = client.get(weights_path, headers=headers)
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == f'"{sha256(WEIGHTS)}"'
    assert client.get(weights_path, headers={"If-None-Match": '"other"'}).status_code == 200


def test_jobs_are_compared_by_method(client: httpx.Client, worker: WorkerActor) -> None:
    first = worker.submit(name="first")
    worker.claim()
    for number, accuracy in enumerate((0.5, 0.6, 0.9)):
        attempt = worker.begin(number)
        ok(worker.upload(attempt, WEIGHTS))
        worse = network(WEIGHTS, validation_accuracy=0.1, test_accuracy=0.99, parameters=10)
        chosen = network(WEIGHTS, test_accuracy=accuracy, parameters=100 * (number + 1))
        ok(worker.end(attempt, records=[record(1)], networks=[worse, chosen]))
    ok(worker.end(worker.begin(3), "failed", records=[record(1)]))
    worker.release("succeeded")
    second = worker.submit()
    compared = get(client, f"/jobs/compare?ids={second},{first},{second}")["jobs"]
    assert [job["job_id"] for job in compared] == [second, first]
    assert (compared[0]["methods"], compared[0]["frontier"]) == ([], [])
    job = compared[1]
    assert (job["name"], job["state"], job["dataset"]) == ("first", "succeeded", "digits")
    (method,) = job["methods"]
    assert (method["method"], method["n"], method["trials"]) == ("shrinknets", 3, 4)
    assert method["train_seconds"] == 1.0
    assert method["test_accuracy"] == {
        "low": 0.5,
        "first": pytest.approx(0.55),
        "median": 0.6,
        "third": pytest.approx(0.75),
        "high": 0.9,
    }
    assert method["parameters"]["median"] == 200
    assert [n["parameters"] for n in job["frontier"]] == [10, 100]


def test_wrong_comparisons_are_refused(client: httpx.Client, worker: WorkerActor) -> None:
    problem(client.get("/api/v1/jobs/compare?ids=job-0000000000"), 404)
    for ids in ("", "x", "job-1,", ",".join(f"job-{n}" for n in range(21))):
        (error,) = problem(client.get(f"/api/v1/jobs/compare?ids={ids}"), 422)["errors"]
        assert error["field"] == "ids"
    problem(client.get("/api/v1/jobs/compare"), 422)


def test_quartiles_of_one_number_are_that_number() -> None:
    assert quartiles([]) is None
    one = quartiles([3])
    assert one is not None
    assert set(one.model_dump().values()) == {3}


def test_the_frontier_of_a_long_path_is_found_in_the_database(store: Store) -> None:
    job_id = hands.submit(store)
    held = hands.claim(store)
    trial = hands.announce(store, held)
    draw = random.Random(0)
    rows = [
        {
            **network(WEIGHTS, parameters=draw.randrange(10**6), validation_accuracy=draw.random()),
            "id": f"net-{n}",
            "job_id": job_id,
            "trial_id": trial.id,
        }
        for n in range(2000)
    ]
    with store.writing() as tx:
        file = {"sha256": sha256(WEIGHTS), "size_bytes": 1, "created_at": now()}
        tx.connection.execute(insert(artifacts).values(file))
        tx.connection.execute(insert(networks_table), rows)
        on_frontier = networks.read_frontier(tx, job_id).items
        everything = networks.read_frontiers(tx, [job_id])[job_id]
    assert on_frontier == everything
    accuracies = [n.validation_accuracy for n in on_frontier]
    assert accuracies == sorted(accuracies)
    assert len(on_frontier) < 30
