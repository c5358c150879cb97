"""A key that makes too many requests is asked to wait; others are served."""

from fastapi.testclient import TestClient

from service import Settings, create_app
from service.store import Store
from shrinknets.wire import Role
from tests.service.actors import ok, problem
from tests.service.guarded import bearer, make_key

JOBS = "/api/v1/jobs"
PER_SECOND = 0.5
BURST = 2
"""Five seconds' worth, rounded."""


def limited(settings: Settings) -> TestClient:
    return TestClient(
        create_app(settings.model_copy(update={"max_requests_per_second": PER_SECOND}))
    )


def test_too_many_requests_of_one_key_are_refused_and_others_are_not(
    settings: Settings, store: Store
) -> None:
    _, greedy = make_key(store, Role.VIEWER)
    _, modest = make_key(store, Role.VIEWER)
    with limited(settings) as client:
        for _ in range(BURST):
            ok(client.get(JOBS, headers=bearer(greedy)))
        refused = client.get(JOBS, headers=bearer(greedy))
        body = problem(refused, 429)
        assert body["type"] == "urn:shrinknets:problem:too-many-requests"
        assert "SHRINKNETS_MAX_REQUESTS_PER_SECOND" in body["detail"]
        assert 1 <= int(refused.headers["Retry-After"]) <= 2
        ok(client.get(JOBS, headers=bearer(modest)))
        # Whether the service lives is not asked as somebody.
        ok(client.get("/healthz"))


def test_without_keys_an_address_is_counted(settings: Settings) -> None:
    with limited(settings) as client:
        for _ in range(BURST):
            ok(client.get(JOBS))
        problem(client.get(JOBS), 429)
