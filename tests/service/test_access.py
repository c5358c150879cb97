"""Who may do what, over all routes of the app."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import select, update

from service import Settings, create_app
from service.access import PERMISSIONS, AttemptGuard, Guard, Permission, guards_of, keyring
from service.store import Store, keys
from service.store.clock import now
from service.store.tables import keys as keys_table
from shrinknets.wire import LEASE_HEADER, Role
from tests.service.actors import WorkerActor, ok, problem, record, spec
from tests.service.conftest import TestClient
from tests.service.guarded import Keys, bearer, make_key, make_keys

PUBLIC = {
    "GET /healthz",
    "GET /readyz",
    "GET /static/{version}/{name}",
    "GET /favicon.ico",
    "GET /login",
    "POST /login",
    "POST /logout",
}


@dataclass(frozen=True)
class Known:
    """A route of the app, and what stands before it."""

    method: str
    path: str
    guards: list[Guard]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def address(self) -> str:
        """The path with ids of things that are not there."""
        names = {"job": "job-0", "trial": "trial-0", "attempt": "attempt-0", "network": "net-0"}
        path = self.path
        for kind, name in names.items():
            path = path.replace(f"{{{kind}_id}}", name)
        path = path.replace("{sha256}", "0" * 64).replace("{dataset}", "none")
        return path.replace("{version}/{name}", "1/none.js")


def routes_of(app: FastAPI) -> list[Known]:
    return [
        Known(method, str(context.path), list(guards_of(context.dependant)))
        for context in iter_route_contexts(app.routes)
        if isinstance(context.original_route, APIRoute)
        for method in sorted(context.methods or ())
    ]


@pytest.fixture
def made(store: Store) -> Keys:
    return make_keys(store)


@pytest.fixture
def guarded(made: Keys, client: TestClient) -> TestClient:
    """The service after the first keys were made."""
    return client


def app_of(client: TestClient) -> FastAPI:
    assert isinstance(client.app, FastAPI)
    return client.app


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_every_route_has_one_guard_or_is_on_the_short_public_list(client: TestClient) -> None:
    app = app_of(client)
    for context in iter_route_contexts(app.routes):
        # A mount or a plain route has no dependencies, so no guard.
        assert isinstance(context.original_route, APIRoute), context
    routes = routes_of(app)
    assert len(routes) > 25
    assert {route.name for route in routes if not route.guards} == PUBLIC
    assert all(len(route.guards) == 1 for route in routes if route.name not in PUBLIC)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_each_route_lets_in_exactly_the_roles_with_its_permission(
    guarded: TestClient, made: Keys
) -> None:
    for route in routes_of(app_of(guarded)):
        if not route.guards or route.path.endswith("/events"):
            continue  # a stream would not end
        (guard,) = route.guards
        needed = guard.asks(route.method)
        options = {"follow_redirects": False}
        nobody = guarded.request(route.method, route.address, **options)
        assert nobody.status_code in ({303} if is_page(route) else {401}), route
        for role in Role:
            answer = guarded.request(
                route.method, route.address, headers=made.header(role), **options
            )
            if needed in PERMISSIONS[role]:
                assert answer.status_code not in {401, 403, 429}, (route, role, answer.text)
            elif route.method == "HEAD":
                assert (answer.status_code, answer.content) == (403, b"")
            else:
                refusal = problem(answer, 403)
                assert f"A key of role {role} must not do this" in refusal["detail"]


def is_page(route: Known) -> bool:
    return not route.path.startswith("/api") and not route.path.endswith((".json", "/metrics"))


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_what_each_kind_of_route_asks_for(client: TestClient) -> None:
    asked = {r.name: r.guards[0].asks(r.method) for r in routes_of(app_of(client)) if r.guards}
    assert asked["GET /"] == asked["GET /docs"] == asked["GET /openapi.json"] == Permission.READ
    assert asked["GET /api/v1/jobs"] == asked["GET /api/v1/events"] == Permission.READ
    assert asked["POST /api/v1/jobs"] == Permission.SUBMIT
    assert asked["POST /api/v1/jobs/{job_id}/cancel"] == Permission.SUBMIT
    assert asked["GET /api/v1/audit"] == Permission.ADMINISTER
    assert asked["POST /api/v1/worker/claim"] == Permission.WORK
    of_attempts = {
        route.path
        for route in routes_of(app_of(client))
        if any(isinstance(guard, AttemptGuard) for guard in route.guards)
    }
    assert of_attempts == {
        "/api/v1/worker/attempts/{attempt_id}",
        "/api/v1/worker/attempts/{attempt_id}/records",
        "/api/v1/worker/attempts/{attempt_id}/logs",
        "/api/v1/worker/attempts/{attempt_id}/end",
        "/api/v1/worker/attempts/{attempt_id}/dataset",
        "/api/v1/worker/attempts/{attempt_id}/network",
        "/api/v1/worker/attempts/{attempt_id}/checkpoints",
        "/api/v1/worker/attempts/{attempt_id}/resume",
        "/api/v1/worker/attempts/{attempt_id}/files/{sha256}",
        "/api/v1/worker/artifacts/{sha256}",
    }


def test_without_keys_everybody_may_do_everything(client: TestClient) -> None:
    worker = WorkerActor(client)
    worker.submit()
    worker.claim()
    worker.finish()
    ok(client.get("/api/v1/audit"))
    assert client.get("/").status_code == 200


def test_the_first_key_closes_the_service_within_seconds(
    client: TestClient, store: Store, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    ok(client.get("/api/v1/jobs"))
    make_key(store, Role.VIEWER)
    wait_until(lambda: client.get("/api/v1/jobs").status_code == 401, 5)
    refusal = client.get("/api/v1/jobs")
    assert refusal.headers["www-authenticate"] == "Bearer"
    assert "shrinknets keys create" in problem(refusal, 401)["detail"]
    ok(client.get("/healthz"))


def test_a_revoked_key_is_refused_within_seconds(
    guarded: TestClient,
    made: Keys,
    store: Store,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    headers = made.header(Role.VIEWER)
    ok(guarded.get("/api/v1/jobs", headers=headers))
    with store.writing() as tx:
        keys.revoke_key(tx, made.ids[Role.VIEWER])
    wait_until(lambda: guarded.get("/api/v1/jobs", headers=headers).status_code == 401, 5)
    detail = problem(guarded.get("/api/v1/jobs", headers=headers), 401)["detail"]
    assert "unknown here, revoked or expired" in detail
    assert made.by_role[Role.VIEWER] not in detail


def test_a_service_whose_only_key_expired_does_not_open_again(
    client: TestClient, store: Store
) -> None:
    _, key = make_key(store, Role.ADMIN)
    with store.writing() as tx:
        tx.connection.execute(update(keys_table).values(expires_at=now(plus_seconds=-1)))
    problem(client.get("/api/v1/jobs", headers=bearer(key)), 401)
    problem(client.get("/api/v1/jobs"), 401)


def test_the_use_of_a_key_is_noted(guarded: TestClient, made: Keys, store: Store) -> None:
    ok(guarded.get("/api/v1/jobs", headers=made.header(Role.VIEWER)))
    with store.reading() as tx:
        used = tx.connection.execute(
            select(keys_table.c.role).where(keys_table.c.last_used_at.is_not(None))
        ).all()
    assert [row.role for row in used] == [Role.VIEWER]


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_key_is_looked_up_once_in_a_while(
    guarded: TestClient, made: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up = []
    find = keys.find_valid
    monkeypatch.setattr(keys, "find_valid", lambda tx, key: looked_up.append(1) or find(tx, key))
    for _ in range(20):
        ok(guarded.get("/api/v1/jobs", headers=made.header(Role.VIEWER)))
    assert len(looked_up) < 5


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer sn_wrong", "Basic YTpi", "sn_x", "Bearer \xff"]
)
@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_what_is_no_key_is_refused(guarded: TestClient, header: str) -> None:
    headers = {"Authorization": header.encode("latin-1")}
    problem(guarded.get("/api/v1/jobs", headers=headers), 401)


def test_a_trial_needs_no_key_but_its_token(guarded: TestClient, made: Keys) -> None:
    worker = WorkerActor(guarded)
    guarded.headers.update(made.header(Role.ADMIN))
    worker.submit()
    guarded.headers.update(made.header(Role.WORKER))
    worker.claim()
    attempt = worker.begin()
    del guarded.headers["Authorization"]
    ok(worker.assignment(attempt))
    ok(worker.report(attempt, record(1)))
    ok(worker.upload(attempt, b"weights"))
    ok(worker.end(attempt))
    # What the token was good for is over; that is told as such, so that a zombie ends itself.
    problem(worker.report(attempt, record(2)), 409)
    problem(worker.report({**attempt, "token": "invented"}, record(2)), 401)
    problem(worker.renew(), 401)
    headers = {LEASE_HEADER: attempt["token"]}
    problem(guarded.get("/api/v1/jobs", headers=headers), 401)
    guesses = [worker.report({**attempt, "token": f"guess {n}"}) for n in range(12)]
    assert guesses[-1].status_code == 429
    # Who holds a token is not kept out by who guesses one.
    problem(worker.report(attempt, record(2)), 409)


def test_who_did_what_is_kept_in_the_trail(guarded: TestClient, made: Keys) -> None:
    headers = made.header(Role.SUBMITTER)
    job_id = ok(guarded.post("/api/v1/jobs", json=spec(), headers=headers))["id"]
    ok(guarded.post(f"/api/v1/jobs/{job_id}/cancel", headers=headers))
    problem(guarded.post("/api/v1/jobs", json={"dataset": "x"}, headers=headers), 422)
    admin = made.header(Role.ADMIN)
    first = ok(guarded.get("/api/v1/audit?limit=1", headers=admin))
    (entry,) = first["items"]
    assert (entry["action"], entry["object"]) == ("job.cancel", job_id)
    assert (entry["key_id"], entry["owner"]) == (made.ids[Role.SUBMITTER], "submitter's owner")
    rest = ok(guarded.get(f"/api/v1/audit?cursor={first['next']}", headers=admin))
    assert [e["action"] for e in rest["items"]] == ["job.submit"]
    assert rest["next"] is None


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_wrong_keys_are_refused_after_a_while_but_the_neighbours_work_on(
    guarded: TestClient, made: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = made.header(Role.VIEWER)
    ok(guarded.get("/api/v1/jobs", headers=good))
    answers = [guarded.get("/api/v1/jobs", headers=bearer(f"sn_{n}")) for n in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 7
    problem(answers[-1], 429)
    monkeypatch.setattr(keyring, "CACHE_SECONDS", 0.0)
    ok(guarded.get("/api/v1/jobs", headers=good))
    # Who shows nothing guesses nothing.
    problem(guarded.get("/api/v1/jobs"), 401)


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_the_description_says_what_a_key_is_and_who_is_refused(client: TestClient) -> None:
    description = ok(client.get("/openapi.json"))
    scheme = description["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for path, operations in description["paths"].items():
        for operation in operations.values():
            if path in {"/healthz", "/readyz"}:
                assert "security" not in operation
            else:
                assert operation["security"] == [{"ApiKey": []}], path
                assert {"401", "403", "429"} <= set(operation["responses"]), path


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_the_worker_key_of_a_server_holds_without_a_database_row(
    settings: Settings, store: Store
) -> None:
    make_keys(store)
    secret = "w" * 40
    own = Settings(**{**settings.model_dump(), "worker_key": secret})
    with TestClient(create_app(own)) as client:
        answer = client.post("/api/v1/worker/claim", json={"worker": "w"}, headers=bearer(secret))
        assert answer.status_code == 204
        problem(client.post("/api/v1/jobs", json=spec(), headers=bearer(secret)), 403)
    assert secret not in repr(own)


def test_a_stream_tells_nothing_to_whose_key_was_revoked(
    live_url: str, store: Store, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    key_id, key = make_key(store, Role.SUBMITTER)
    _, other = make_key(store, Role.ADMIN)
    with httpx.stream(
        "GET", f"{live_url}/api/v1/events", headers=bearer(key), timeout=20
    ) as response:
        lines = response.iter_lines()
        assert next(lines) == ": ping"
        with store.writing() as tx:
            keys.revoke_key(tx, key_id)
        time.sleep(keyring.CACHE_SECONDS + 0.2)
        ok(httpx.post(f"{live_url}/api/v1/jobs", json=spec(), headers=bearer(other)))
        assert [line for line in lines if line] == ["event: end", 'data: {"reason":"key"}']
