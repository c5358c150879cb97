"""Pages of trials with their learning curves, thinned by one query."""

from typing import Any

import httpx
import pytest
from sqlalchemy import event

from service.store import Slice, Store, claims, records, trial_lists, trials
from shrinknets.wire import Curve, Method, Record, Trial, TrialRequest, TrialSort
from tests.service import hands
from tests.service.actors import WorkerActor, ok, problem, record

LENGTHS = [
    [],
    [7],
    [1, 2],
    list(range(1, 101)),
    list(range(1, 251)),
    [3, 4, 5, 90, 91, 92, 93, 400],
    [*range(1, 40), *range(300, 340)],
]
POINTS = (2, 3, 19, 20, 200)


def made(step: int) -> Record:
    return Record.model_validate(
        record(step, validation_accuracy=1 / (step + 2), widths=[500 - step, step])
    )


def slowly_thinned(kept: list[Record], points: int) -> Curve:
    """The same, record by record."""
    chosen: list[Record] = []
    if kept:
        stride = -(-(kept[-1].step - kept[0].step) // (points - 1))
        for one in kept:
            if not chosen or one is kept[-1] or one.step >= chosen[-1].step + stride:
                chosen.append(one)
    return Curve(
        step=[one.step for one in chosen],
        validation_accuracy=[one.validation_accuracy for one in chosen],
        hidden_units=[sum(one.widths) for one in chosen],
    )


@pytest.fixture
def job_id(store: Store) -> str:
    """A job with a trial for each of the lengths."""
    job_id = hands.submit(store)
    with store.writing() as tx:
        held = claims.claim_job(tx, worker="w", lease_seconds=60)
        assert held is not None
        for number, steps in enumerate(LENGTHS):
            request = TrialRequest(method=Method.PATH, number=number, params={}, seed=1)
            trial, _ = trials.create_trial(tx, job_id, held.token, request)
            if steps:
                records.add_records(tx, trial.id, [made(step) for step in steps])
    return job_id


def listed(store: Store, job_id: str, points: int | None, **options: Any) -> list[Trial]:
    with store.reading() as tx:
        part = Slice(limit=50)
        return trial_lists.list_trials(tx, job_id, part, points=points, **options).items


@pytest.mark.parametrize("points", POINTS)
def test_curves_equal_those_that_are_thinned_record_by_record(
    store: Store, job_id: str, points: int
) -> None:
    for trial, steps in zip(listed(store, job_id, points), LENGTHS, strict=True):
        assert trial.curve == slowly_thinned([made(step) for step in steps], points)


@pytest.mark.parametrize("points", POINTS)
def test_a_curve_has_never_more_points_than_asked_for_and_keeps_its_ends(
    store: Store, job_id: str, points: int
) -> None:
    for trial, steps in zip(listed(store, job_id, points), LENGTHS, strict=True):
        assert trial.curve is not None
        assert len(trial.curve.step) <= points
        assert trial.curve.step[:1] == steps[:1]
        assert trial.curve.step[-1:] == steps[-1:]


def test_a_curve_without_gaps_is_the_one_that_a_list_of_epochs_is_thinned_to(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    attempt = worker.begin()
    ok(worker.report(attempt, *(record(step) for step in range(1, 101))))
    for points in (2, 4, 20, 99, 100, 200):
        (trial,) = ok(client.get(f"/api/v1/jobs/{job_id}/trials?curves={points}"))["items"]
        path = f"/api/v1/trials/{trial['id']}/epochs?max_points={points}"
        epochs = ok(client.get(path))["items"]
        assert trial["curve"] == {
            "step": [epoch["step"] for epoch in epochs],
            "validation_accuracy": [epoch["validation_accuracy"] for epoch in epochs],
            "hidden_units": [sum(epoch["widths"]) for epoch in epochs],
        }


def test_a_trial_without_epochs_has_an_empty_curve(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    worker.begin()
    (trial,) = ok(client.get(f"/api/v1/jobs/{job_id}/trials?curves=20"))["items"]
    assert trial["curve"] == {"step": [], "validation_accuracy": [], "hidden_units": []}


def test_trials_have_no_curve_unless_it_is_asked_for(
    client: httpx.Client, worker: WorkerActor
) -> None:
    job_id = worker.submit()
    worker.claim()
    trial_id = worker.finish()["id"]
    (trial,) = ok(client.get(f"/api/v1/jobs/{job_id}/trials"))["items"]
    assert "curve" not in trial
    assert "curve" not in ok(client.get(f"/api/v1/trials/{trial_id}"))


def test_pages_with_curves_follow_sort_and_cursor(store: Store, job_id: str) -> None:
    whole = listed(store, job_id, 20, sort=TrialSort.NUMBER_DESC)
    assert [trial.number for trial in whole] == list(reversed(range(len(LENGTHS))))
    found: list[Trial] = []
    cursor = None
    while len(found) < len(LENGTHS):
        with store.reading() as tx:
            page = trial_lists.list_trials(
                tx,
                job_id,
                Slice(limit=3, cursor=cursor),
                sort=TrialSort.NUMBER_DESC,
                points=20,
            )
        found += page.items
        cursor = page.next
    assert (found, cursor) == (whole, None)


@pytest.mark.parametrize("value", ["0", "1", "-5", "201", "x", "2.5", "", "9999999999999999999999"])
def test_wrong_numbers_of_points_are_refused(
    client: httpx.Client, worker: WorkerActor, value: str
) -> None:
    path = f"/api/v1/jobs/{worker.submit()}/trials?curves={value}"
    (error,) = problem(client.get(path), 422)["errors"]
    assert error["field"] == "curves"


def test_curves_of_a_page_are_one_query_that_leaps_along_the_index(
    store: Store, job_id: str
) -> None:
    with store.reading() as tx:
        seen: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            seen.append((statement, parameters))

        event.listen(tx.connection, "before_cursor_execute", note)
        trial_lists.list_trials(tx, job_id, Slice(limit=50), points=20)
        event.remove(tx.connection, "before_cursor_execute", note)
        ((statement, parameters),) = [one for one in seen if "FROM records" in one[0]]
        if tx.dialect == "postgresql":
            # A table as small as this one is otherwise read whole.
            for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
                tx.connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        is_postgres = tx.dialect == "postgresql"
        # PostgreSQL shows what a recursion looks up only once it has run.
        explain = "EXPLAIN ANALYZE" if is_postgres else "EXPLAIN QUERY PLAN"
        plan = tx.connection.exec_driver_sql(f"{explain} {statement}", parameters)
        lines = [str(row[-1]).strip() for row in plan]
    whole = ("Seq Scan on records", "SCAN records")
    assert not [line for line in lines if any(words in line for words in whole)], "\n".join(lines)
    leap = "step >= " if is_postgres else "trial_id=? AND step>?"
    point = "step = walk.step" if is_postgres else "trial_id=? AND step=?"
    for condition in (leap, point):
        assert [line for line in lines if condition in line], "\n".join(lines)
