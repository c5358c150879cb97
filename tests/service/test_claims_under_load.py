"""Two hundred workers at once, workers that die, and what the dead still want to write."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from service import Settings, create_app
from service.store import Store
from shrinknets.wire import LEASE_HEADER, JobState
from tests.service import hands
from tests.service.actors import WorkerActor, network, ok, problem, record, sha256
from tests.service.conftest import served
from tests.service.sse import last_event

WORKER = "/api/v1/worker"
# A worker that claims a job, says so, and then hangs as a process does that is about to be killed.
CLAIM_AND_HANG = """
import sys, time
from service.store import Store, claims
with Store(sys.argv[1]) as store:
    with store.writing() as tx:
        claim = claims.claim_job(tx, worker="doomed", lease_seconds=float(sys.argv[2]))
    print(claim.job.id, claim.token, flush=True)
    time.sleep(600)
"""


def test_two_hundred_claimers_at_once_get_each_job_exactly_once(
    database_url: str, dialect: str
) -> None:
    claimers, jobs = (200, 600) if dialect == "postgresql" else (40, 120)
    with Store(database_url) as store:
        submitted = [hands.submit(store) for _ in range(jobs)]
    together = threading.Barrier(claimers)

    def claim_all(number: int) -> list[str]:
        # A store of its own, so that each claimer has a connection of its own.
        with Store(database_url) as mine:
            last_event(mine)
            together.wait(60)
            claimed = []
            while (found := hands.find_claim(mine, f"w{number}")) is not None:
                claimed.append(found.job.id)
            return claimed

    with ThreadPoolExecutor(claimers) as pool:
        claimed = [job_id for mine in pool.map(claim_all, range(claimers)) for job_id in mine]
    assert Counter(claimed) == Counter(submitted)


@pytest.mark.slow
def test_claims_over_http_by_two_servers_give_each_job_once(settings: Settings) -> None:
    # Nobody renews here, and a busy machine may take its time.
    patient = settings.model_copy(update={"job_lease_seconds": 600.0})
    with ExitStack() as stack:
        urls = [stack.enter_context(served(patient)) for _ in range(2)]
        pool = stack.enter_context(ThreadPoolExecutor(30))

        def claim_all(number: int) -> list[str]:
            with httpx.Client(base_url=urls[number % 2], timeout=30) as client:
                body = {"worker": f"w{number}", "wait_seconds": 2}
                claimed = []
                while (answer := client.post(f"{WORKER}/claim", json=body)).status_code == 200:
                    claimed.append(answer.json()["job"]["id"])
                assert answer.status_code == 204
                return claimed

        workers = [pool.submit(claim_all, number) for number in range(30)]
        with httpx.Client(base_url=urls[0], timeout=30) as client:
            submitted = [WorkerActor(client).submit() for _ in range(90)]
        claimed = [job_id for one in workers for job_id in one.result()]
    assert Counter(claimed) == Counter(submitted)


@pytest.mark.slow
@pytest.mark.alone
def test_the_job_of_a_killed_claimer_is_taken_over_after_its_lease_and_no_earlier(
    database_url: str, store: Store
) -> None:
    lease_seconds = 2.0
    job_id = hands.submit(store)
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM_AND_HANG, database_url, str(lease_seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    claimed, token = process.stdout.readline().split()
    at = time.monotonic()
    assert claimed == job_id
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    while True:
        hands.expire(store)
        if (heir := hands.find_claim(store, "heir")) is not None:
            break
        assert time.monotonic() - at < lease_seconds + 5
        time.sleep(0.02)
    # The process said so after its commit, so the lease had begun a moment before.
    assert lease_seconds - 0.5 < time.monotonic() - at < lease_seconds + 1
    assert heir.job.id == job_id
    assert heir.token != token


def test_a_lease_is_over_by_the_clock_of_the_database(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose own clock is wrong takes no job away."""
    job_id = hands.submit(store)
    hands.claim(store, seconds=30)
    monkeypatch.setattr(time, "time", lambda: 4_000_000_000.0)
    hands.expire(store)
    assert hands.job_state(store, job_id) is JobState.RUNNING


def _worker_routes() -> Iterator[tuple[str, str]]:
    document = create_app(Settings(database_url="sqlite:///unused.db")).openapi()
    for path, methods in document["paths"].items():
        if path.startswith(f"{WORKER}/") and path != f"{WORKER}/claim":
            yield from ((method, path) for method in methods)


BODIES: dict[str, Any] = {
    "JobEnd": {"state": "succeeded"},
    "TrialRequest": {"method": "shrinknets", "number": 7, "params": {}, "seed": 1},
    "RecordBatch": {"records": [record(9)]},
    "LogBatch": {"offset": 0, "text": "late"},
    "NewCheckpoint": {"step": 1, "sha256": sha256(b"late")},
    "Resumption": {"step": 0},
    "Pruning": {"reason": "late"},
    "EpochsRequest": {"after": {}},
    "AttemptEnd": {"state": "complete", "networks": [network(b"late")]},
}
"""What a zombie sends, by the name of the body; a new route needs one here."""


@pytest.mark.parametrize(("method", "path"), list(_worker_routes()))
def test_a_zombie_is_refused_on_every_route_of_workers(
    client: TestClient, worker: WorkerActor, store: Store, method: str, path: str
) -> None:
    worker.submit()
    held = hands.claim(store, seconds=hands.OVER)
    trial = hands.announce(store, held)
    attempt = hands.start(store, held, trial)
    hands.expire(store)
    heir = hands.claim(store, "heir")
    # From here on not even the last words of the lost attempt are wanted.
    hands.start(store, heir, trial)
    before = ok(client.get(f"/api/v1/jobs/{held.job.id}"))
    is_of_job = "{job_id}" in path or "{trial_id}" in path
    headers = {LEASE_HEADER: held.token if is_of_job else attempt.token}
    ids = {
        "job_id": held.job.id,
        "trial_id": trial.id,
        "attempt_id": attempt.id,
        "sha256": sha256(b"late"),
    }
    answer = client.request(
        method, path.format(**ids), headers=headers, **_body(client, method, path)
    )
    assert answer.status_code == 409
    if method != "head":
        assert problem(answer, 409)["type"] == "urn:shrinknets:problem:lease-lost"
    assert ok(client.get(f"/api/v1/jobs/{held.job.id}")) == before
    assert ok(client.get(f"/api/v1/trials/{trial.id}/epochs"))["items"] == []
    renewed = client.post(f"{WORKER}/jobs/{held.job.id}/renew", headers={LEASE_HEADER: heir.token})
    assert ok(renewed) == {"order": "continue"}


def _body(client: TestClient, method: str, path: str) -> dict[str, Any]:
    operation = client.app.openapi()["paths"][path][method]  # type: ignore[attr-defined]
    content = operation.get("requestBody", {}).get("content", {})
    if "application/octet-stream" in content:
        return {"content": b"late"}
    if "application/json" not in content:
        return {}
    found = re.search(r"schemas/(\w+)", str(content["application/json"]["schema"]))
    assert found is not None
    return {"json": BODIES[found[1]]}
