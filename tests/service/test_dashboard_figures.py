"""The figures that pages fetch, on both databases."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.dashboard import figures
from service.store import Store, records
from tests.service.actors import WorkerActor, ok, record


def figure(client: TestClient, job_id: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = ok(client.get(f"/jobs/{job_id}/figures/{name}.json"))
    return found


def test_figures_of_an_unknown_job_are_a_problem(client: TestClient) -> None:
    for name in ("frontier", "units"):
        response = client.get(f"/jobs/job-0000000000/figures/{name}.json")
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/problem+json"


def test_the_frontier_figure_shows_the_networks(client: TestClient, worker: WorkerActor) -> None:
    job_id = worker.submit()
    assert figure(client, job_id, "frontier")["data"] == []
    ok(worker.claim())
    worker.finish()
    line, markers = figure(client, job_id, "frontier")["data"]
    assert (line["name"], markers["name"]) == ("frontier", "shrinknets")
    assert (markers["x"], markers["y"]) == ([900], [90.0])


def test_the_units_figure_shows_trials_that_shrink_without_their_polish(
    client: TestClient, worker: WorkerActor
) -> None:
    methods = {"shrinknets": {"trials": 1}, "fixed": {"trials": 1}}
    job_id = worker.submit(methods=methods)
    ok(worker.claim())
    fixed = ok(worker.start(ok(worker.announce(method="fixed"))["id"]))
    ok(worker.report(fixed, record(1)))
    shrinking = worker.begin()
    steps = [record(1), record(2, phase="polish", widths=[98, 7]), record(3)]
    ok(worker.report(shrinking, *steps))
    (line,) = figure(client, job_id, "units")["data"]
    assert line["meta"] == "shrinknets 0, λ 0.01"
    assert (line["x"], line["y"]) == ([1, 2], [106, 104])


@pytest.mark.parametrize(("method", "is_there"), [("path", True), ("fixed_l2", False)])
def test_units_are_drawn_where_a_method_shrinks_its_network(
    client: TestClient, worker: WorkerActor, method: str, *, is_there: bool
) -> None:
    text = client.get(f"/jobs/{worker.submit(methods={method: {}})}").text
    assert ("figures/units.json" in text) == is_there


def test_long_curves_are_thinned_in_the_database_and_keep_their_end(
    client: TestClient, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    ok(worker.claim())
    ok(worker.report(worker.begin(), *(record(step) for step in range(1, 1000))))
    (line,) = figure(client, job_id, "units")["data"]
    assert 150 <= len(line["x"]) <= 201
    assert (line["x"][0], line["x"][-1]) == (1, 999)


def test_curves_of_many_trials_are_one_query(
    store: Store, worker: WorkerActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.submit(methods={"shrinknets": {"trials": 5}})
    ok(worker.claim())
    attempts = [worker.begin(number) for number in range(5)]
    for attempt in attempts:
        ok(worker.report(attempt, record(1), record(2)))
    ids = [attempt["trial"]["id"] for attempt in attempts]
    statements = []
    with store.reading() as tx:
        execute = tx.connection.execute
        monkeypatch.setattr(
            tx.connection, "execute", lambda query: statements.append(query) or execute(query)
        )
        curves = records.read_alive_units(tx, ids)
    assert len(statements) == 1
    assert {trial_id: len(curve) for trial_id, curve in curves.items()} == dict.fromkeys(ids, 2)


def test_of_very_many_trials_the_newest_are_drawn_and_the_figure_says_so(
    client: TestClient, worker: WorkerActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MAX_LINES", 2)
    job_id = worker.submit(methods={"shrinknets": {"trials": 3}})
    ok(worker.claim())
    for number in range(3):
        ok(worker.report(worker.begin(number), record(1)))
    shown = figure(client, job_id, "units")
    assert [line["meta"] for line in shown["data"]] == [
        "shrinknets 1, λ 0.01",
        "shrinknets 2, λ 0.01",
    ]
    assert shown["layout"]["annotations"][0]["text"] == "the newest 2 of 3 trials"
