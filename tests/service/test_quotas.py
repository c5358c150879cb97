"""What one key may have at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from service import Settings, create_app, read_settings
from service.store import Store
from shrinknets.wire import Role
from tests.service.actors import WorkerActor, ok, problem, spec
from tests.service.arrays import npz, rows
from tests.service.conftest import TestClient
from tests.service.guarded import bearer, make_key

JOBS, DATASETS = "/api/v1/jobs", "/api/v1/datasets"
SMALL = npz(**rows(60))


@pytest.fixture
def limited(settings: Settings) -> Iterator[TestClient]:
    limits = {"max_queued_jobs_per_key": 3, "max_dataset_bytes_per_key": 2 * len(SMALL) + 10}
    with TestClient(create_app(read_settings(**{**settings.model_dump(), **limits}))) as client:
        yield client


def upload(client: httpx.Client, name: str, content: bytes, **headers: str) -> httpx.Response:
    headers = {"Content-Type": "application/zip", **headers}
    return client.post(DATASETS, params={"name": name}, content=content, headers=headers)


def test_a_key_has_so_many_jobs_in_the_queue_and_no_more(limited: TestClient) -> None:
    worker = WorkerActor(limited)
    first = worker.submit()
    ok(limited.post(f"{JOBS}/{worker.submit()}/pause"))
    worker.submit()
    refused = limited.post(JOBS, json=spec())
    detail = problem(refused, 429)["detail"]
    assert "3 jobs that are queued or paused" in detail
    assert "SHRINKNETS_MAX_QUEUED_JOBS_PER_KEY" in detail
    problem(limited.post(f"{JOBS}/{first}/clone"), 429)
    worker.claim()
    assert worker.submit()


def test_a_submission_that_is_sent_again_needs_no_room(limited: TestClient) -> None:
    headers = {"Idempotency-Key": "k"}
    first = ok(limited.post(JOBS, json=spec(), headers=headers))
    for _ in range(2):
        ok(limited.post(JOBS, json=spec()))
    assert ok(limited.post(JOBS, json=spec(), headers=headers))["id"] == first["id"]
    problem(limited.post(JOBS, json=spec(), headers={"Idempotency-Key": "other"}), 429)
    ok(limited.post(f"{JOBS}?dry_run=true", json=spec()))


def test_each_key_has_a_share_of_its_own(limited: TestClient, store: Store) -> None:
    one, two = (bearer(make_key(store, Role.SUBMITTER)[1]) for _ in range(2))
    for _ in range(3):
        ok(limited.post(JOBS, json=spec(), headers=one))
    problem(limited.post(JOBS, json=spec(), headers=one), 429)
    ok(limited.post(JOBS, json=spec(), headers=two))


def test_submissions_at_once_stay_within_the_share(limited: TestClient) -> None:
    def submit(_: int) -> int:
        return limited.post(JOBS, json=spec()).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(submit, range(8)))
    assert statuses == [201] * 3 + [429] * 5


def test_the_files_of_a_key_have_a_limit_in_all(limited: TestClient, settings: Settings) -> None:
    ok(upload(limited, "one", SMALL))
    ok(upload(limited, "two", SMALL))
    ok(upload(limited, "two", SMALL))
    detail = problem(upload(limited, "three", SMALL), 413)["detail"]
    assert f"take {2 * len(SMALL):,} bytes" in detail
    assert "delete some" in detail

    def chunks() -> Iterator[bytes]:
        yield npz(**rows(60, seed=1))

    problem(upload(limited, "three", chunks()), 413)  # type: ignore[arg-type]
    stored = [p for p in (settings.data_dir / "artifacts").rglob("*") if p.is_file()]
    assert len(stored) == 1
    assert limited.delete(f"{DATASETS}/one").status_code == 204
    ok(upload(limited, "three", SMALL))


def test_uploads_at_once_stay_within_the_share(limited: TestClient) -> None:
    def send(number: int) -> int:
        return upload(limited, f"n{number}", npz(**rows(60, seed=number))).status_code

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(send, range(6)))
    assert statuses == [201] * 2 + [413] * 4


def test_who_may_only_read_hands_nothing_in(limited: TestClient, store: Store) -> None:
    keys = {role: bearer(make_key(store, role)[1]) for role in Role}
    for role in (Role.VIEWER, Role.WORKER):
        problem(upload(limited, "mine", SMALL, **keys[role]), 403)
        problem(limited.delete(f"{DATASETS}/mine", headers=keys[role]), 403)
        ok(limited.get(DATASETS, headers=keys[role]))
    found = ok(upload(limited, "mine", SMALL, **keys[Role.SUBMITTER]))
    assert found["owner"] == "submitter's owner"
    problem(limited.get(DATASETS), 401)
