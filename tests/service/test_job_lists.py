"""Lists of jobs: filters, orders, pages, and the indexes that serve them."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import event, insert, text, update

from service.store import Slice, Store, claims, job_lists, networks
from service.store.clock import now
from service.store.job_lists import JobFilter
from service.store.networks import NetworkFilter
from service.store.tables import job_labels, job_methods
from service.store.tables import jobs as jobs_table
from shrinknets.wire import JobSort, JobState, Method, NetworkSort, Role
from tests.service import hands
from tests.service.actors import WorkerActor, ok, problem, spec
from tests.service.conftest import TestClient
from tests.service.guarded import bearer, make_key

JOBS = "/api/v1/jobs"


def ids(client: httpx.Client, query: str = "") -> list[str]:
    return [job["id"] for job in ok(client.get(f"{JOBS}?{query}"))["items"]]


def pages(client: httpx.Client, query: str, limit: int) -> list[str]:
    """The ids of a whole list, read in pages."""
    found, cursor = [], ""
    while True:
        page = ok(client.get(f"{JOBS}?{query}&limit={limit}{cursor}"))
        found += [job["id"] for job in page["items"]]
        if page["next"] is None:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.fixture
def some(client: httpx.Client, worker: WorkerActor) -> dict[str, str]:
    """Jobs in several states, with several priorities; name → id, the oldest first."""
    found = {}
    for name, priority in (("won", 9), ("lost", 8), ("held", 7), ("one", 0), ("Two", 0)):
        found[name] = worker.submit(
            name=name, priority=priority, labels={"n": name, "size": str(len(name))}
        )
    for name in ("won", "lost", "held"):
        worker.claim()
        if name != "held":
            worker.release("succeeded" if name == "won" else "failed")
    client.post(f"{JOBS}/{found['Two']}/pause")
    found["last"] = worker.submit(
        name="last 100%_\\ ÄÖ", dataset="wine", methods={"path": {}, "fixed": {}}, priority=-3
    )
    return found


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("state=queued", ["last", "one"]),
        ("state=queued&state=paused", ["last", "Two", "one"]),
        ("dataset=wine", ["last"]),
        ("method=path", ["last"]),
        ("method=shrinknets&state=running", ["held"]),
        ("label=size:3", ["Two", "one", "won"]),
        ("label=size", ["Two", "one", "held", "lost", "won"]),
        ("label=size:3&label=n:one", ["one"]),
        ("label=size:", []),
        ("label=size:%27", []),
        ("text=TWO", ["Two"]),
        ("text=o", ["Two", "one", "lost", "won"]),
        ("text=100%25_%5C", ["last"]),
        ("text=äö", ["last"]),
        ("text=%25", ["last"]),
        ("text=_o", []),
        ("text=", ["last", "Two", "one", "held", "lost", "won"]),
        ("sort=created", ["won", "lost", "held", "one", "Two", "last"]),
        ("sort=-priority", ["won", "lost", "held", "Two", "one", "last"]),
        ("sort=priority", ["last", "one", "Two", "held", "lost", "won"]),
        ("sort=-ended", ["lost", "won", "last", "Two", "one", "held"]),
        ("sort=ended", ["won", "lost", "held", "one", "Two", "last"]),
        ("sort=state", ["lost", "Two", "one", "last", "held", "won"]),
    ],
)
def test_jobs_are_filtered_and_sorted(
    client: httpx.Client, some: dict[str, str], query: str, names: list[str]
) -> None:
    assert ids(client, query) == [some[name] for name in names]


@pytest.mark.parametrize("sort", JobSort)
@pytest.mark.parametrize("limit", [1, 2, 4])
def test_pages_hold_every_job_once_and_in_order_under_every_sort(
    client: httpx.Client, some: dict[str, str], sort: JobSort, limit: int
) -> None:
    whole = ids(client, f"sort={sort.value}")
    assert len(whole) == len(some)
    assert pages(client, f"sort={sort.value}", limit) == whole
    reverse = sort.value.removeprefix("-") if sort.value.startswith("-") else f"-{sort.value}"
    if "ended" not in sort.value:
        assert ids(client, f"sort={reverse}") == whole[::-1]


def test_a_job_that_comes_or_changes_between_pages_upsets_no_other(
    client: httpx.Client, some: dict[str, str], worker: WorkerActor
) -> None:
    first = ok(client.get(f"{JOBS}?sort=-priority&limit=3"))
    worker.submit(priority=9)
    ok(client.patch(f"{JOBS}/{some['held']}", json={"priority": 90}))
    rest = ids(client, f"sort=-priority&cursor={first['next']}")
    assert rest == [some[name] for name in ("Two", "one", "last")]


@pytest.mark.parametrize(
    "cursor", ["x", "-1", "99999999999999999999", "W10", "bnVsbA", "%00", "%F0%9F%98%80", "1" * 900]
)
@pytest.mark.parametrize("sort", ["-created", "-ended", "state"])
def test_a_cursor_that_is_none_is_refused(client: httpx.Client, cursor: str, sort: str) -> None:
    (error,) = problem(client.get(f"{JOBS}?sort={sort}&cursor={cursor}"), 422)["errors"]
    assert error["field"] == "cursor"


def test_a_cursor_works_only_with_the_sort_that_it_was_made_in(
    client: httpx.Client, some: dict[str, str]
) -> None:
    cursor = ok(client.get(f"{JOBS}?sort=priority&limit=1"))["next"]
    for sort in ("-priority", "ended", "created"):
        problem(client.get(f"{JOBS}?sort={sort}&cursor={cursor}"), 422)


@pytest.mark.parametrize(
    "query",
    ["state=done", "sort=name", "dataset=x y", "method=x", "label=:x", "label=a b", "text=%00"],
)
def test_a_wrong_filter_is_refused_with_its_name(client: httpx.Client, query: str) -> None:
    (error,) = problem(client.get(f"{JOBS}?{query}"), 422)["errors"]
    assert error["field"].split(".")[0] == query.split("=", maxsplit=1)[0]


MANY = 10_000


@pytest.fixture
def many(store: Store) -> Store:
    """Ten thousand jobs, of which few are queued, few failed, and few have a rare label."""
    states = [JobState.SUCCEEDED] * 40 + [JobState.QUEUED, JobState.FAILED, JobState.RUNNING]
    rows = [
        {
            "id": f"job-{n}",
            "state": states[n % len(states)],
            "name": f"sweep {n}",
            "dataset": "wine" if n % 50 == 0 else "digits",
            "priority": n % 7,
            "spec": spec(),
            "reason": "",
            "total_trials": 2,
        }
        for n in range(MANY)
    ]
    with store.writing() as tx:
        tx.connection.execute(insert(jobs_table).values(created_at=now()), rows)
        ended = jobs_table.c.state.in_([JobState.SUCCEEDED, JobState.FAILED])
        tx.connection.execute(update(jobs_table).where(ended).values(ended_at=now()))
        methods = [{"job_id": row["id"], "method": Method.SHRINKNETS} for row in rows]
        tx.connection.execute(insert(job_methods), methods)
        labels = [
            {"job_id": row["id"], "key": "team", "value": "rare" if n % 500 == 0 else "all"}
            for n, row in enumerate(rows)
        ]
        tx.connection.execute(insert(job_labels), labels)
    with store.writing() as tx:
        tx.connection.execute(text("ANALYZE"))
    return store


LISTS = [
    *((JobFilter(), sort) for sort in JobSort),
    (JobFilter(states=(JobState.QUEUED,)), JobSort.CREATED_DESC),
    (JobFilter(states=(JobState.SUCCEEDED,)), JobSort.CREATED),
    (JobFilter(states=(JobState.SUCCEEDED,)), JobSort.ENDED_DESC),
    (JobFilter(dataset="wine"), JobSort.CREATED_DESC),
    (JobFilter(labels=("team:rare",)), JobSort.CREATED_DESC),
    (JobFilter(labels=("team:all",)), JobSort.PRIORITY_DESC),
    (JobFilter(method=Method.SHRINKNETS), JobSort.CREATED_DESC),
]


def plans(store: Store, work: Any) -> Iterator[str]:
    """How the database runs each SELECT or UPDATE of jobs that some work consists of."""
    with store.writing() as tx:
        seen: list[tuple[str, Any]] = []

        def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
            if statement.startswith(("SELECT", "UPDATE")):
                seen.append((statement, parameters))

        event.listen(tx.connection, "before_cursor_execute", note)
        work(tx)
        event.remove(tx.connection, "before_cursor_execute", note)
        explain = "EXPLAIN" if tx.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        for statement, parameters in seen:
            rows = tx.connection.exec_driver_sql(f"{explain} {statement}", parameters)
            yield "\n".join(str(row[-1]) for row in rows)


def test_jobs_are_found_by_the_owner_of_their_key(client: TestClient, store: Store) -> None:
    found = {}
    for role in (Role.SUBMITTER, Role.ADMIN):
        headers = bearer(make_key(store, role)[1])
        answers = [client.post(JOBS, json=spec(), headers=headers) for _ in range(2)]
        found[role] = [ok(answer)["id"] for answer in reversed(answers)]
    for role, ids in found.items():
        query = {"owner": f"{role}'s owner", "limit": 50}
        listed = ok(client.get(JOBS, params=query, headers=headers))["items"]
        assert [job["id"] for job in listed] == ids
    assert ok(client.get(JOBS, params={"owner": "nobody"}, headers=headers))["items"] == []


def assert_by_index(plan: str, table: str, *, by_key: bool = False) -> None:
    """`by_key`: the table itself lies in the order that is asked for, as SQLite keeps it."""
    for line in plan.splitlines():
        assert f"Seq Scan on {table}" not in line, plan
        if line.startswith(f"SCAN {table}") and not by_key:
            assert "USING" in line, plan


@pytest.mark.slow
def test_the_first_and_later_pages_of_many_jobs_are_read_by_index(many: Store) -> None:
    for which, sort in LISTS:
        with many.reading() as tx:
            page = job_lists.list_jobs(tx, Slice(limit=50), which=which, sort=sort)
        for cursor in (None, page.next):
            part = Slice(cursor=cursor, limit=50)
            (plan, *_) = plans(
                many,
                lambda tx, part=part, which=which, sort=sort: job_lists.list_jobs(
                    tx, part, which=which, sort=sort
                ),
            )
            is_narrow = which.states or which.dataset or which.labels
            by_key = sort.value.endswith("created") and not is_narrow
            assert_by_index(plan, "jobs", by_key=by_key)
            if not which.labels:
                assert "Sort" not in plan, plan
                assert "TEMP B-TREE" not in plan, plan


@pytest.mark.slow
def test_a_claim_out_of_many_jobs_goes_to_the_first_by_index(many: Store) -> None:
    asked = [hands.asking("a"), hands.asking("b", "lenet5", "vgg11"), hands.asking("c")]
    first, second, claiming, *_ = plans(
        many, lambda tx: claims.claim_jobs(tx, asked, lease_seconds=9)
    )
    for plan in (first, second):
        assert "ix_jobs_queue" in plan
    for plan in (first, second, claiming):
        assert_by_index(plan, "jobs")
        assert "Sort" not in plan
        assert "TEMP B-TREE" not in plan


@pytest.mark.slow
def test_a_page_of_many_jobs_costs_the_same_number_of_queries(many: Store) -> None:
    hands.submit(many)
    assert len(list(plans(many, lambda tx: job_lists.list_jobs(tx, Slice(limit=500))))) == 4


def test_networks_are_read_by_index_under_every_sort(store: Store, dialect: str) -> None:
    for sort in NetworkSort:
        (plan,) = plans(
            store,
            lambda tx, sort=sort: networks.list_networks(
                tx, Slice(limit=50), which=NetworkFilter(), sort=sort
            ),
        )
        # PostgreSQL reads an empty table whole, whatever indexes there are.
        if dialect == "sqlite":
            assert_by_index(plan, "networks", by_key=sort.value.endswith("found"))
            assert "TEMP B-TREE" not in plan
