"""Workers that wait for a job are given it the moment that it is queued."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service import Settings
from service.claiming import ClaimDesk
from shrinknets.wire import Claim, ClaimRequest
from tests.service.actors import WorkerActor, ok, problem
from tests.service.conftest import served

CLAIM = "/api/v1/worker/claim"
OWN = {"name": "own", "layers": [{"name": "fc", "full": 9}]}


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


@pytest.fixture
def live(live_url: str) -> Iterator[WorkerActor]:
    with httpx.Client(base_url=live_url, timeout=30) as client:
        yield WorkerActor(client)


def ask(url: str, seconds: float, name: str = "w", families: Any = None) -> httpx.Response:
    body = {"worker": name, "wait_seconds": seconds, "families": families}
    return httpx.post(f"{url}{CLAIM}", json=body, timeout=seconds + 20)


def asking(
    pool: ThreadPoolExecutor, url: str, count: int, seconds: float = 15, families: Any = None
) -> list[Future[httpx.Response]]:
    asked = [pool.submit(ask, url, seconds, f"w{number}", families) for number in range(count)]
    time.sleep(0.3 + 0.02 * count)
    return asked


def test_a_waiting_worker_gets_a_job_the_moment_it_is_queued(
    live_url: str, live: WorkerActor, pool: ThreadPoolExecutor
) -> None:
    delays = []
    for _ in range(5):
        (waiting,) = asking(pool, live_url, 1)
        before = time.monotonic()
        job_id = live.submit()
        assert ok(waiting.result())["job"]["id"] == job_id
        delays.append(time.monotonic() - before)
    assert min(delays) < 0.4


def test_who_waits_in_vain_is_told_when_the_time_is_over(live_url: str) -> None:
    before = time.monotonic()
    assert ask(live_url, 0.5).status_code == 204
    assert 0.5 <= time.monotonic() - before < 2


@pytest.mark.parametrize("action", ["resume", "release"])
def test_a_job_that_comes_back_wakes_who_waits(
    live_url: str, live: WorkerActor, pool: ThreadPoolExecutor, action: str
) -> None:
    job_id = live.submit()
    if action == "resume":
        ok(live.client.post(f"/api/v1/jobs/{job_id}/pause"))
    else:
        ok(live.claim())
    (waiting,) = asking(pool, live_url, 1)
    if action == "resume":
        ok(live.client.post(f"/api/v1/jobs/{job_id}/resume"))
    else:
        ok(live.release("queued"))
    assert ok(waiting.result())["job"]["id"] == job_id


def test_many_who_wait_share_the_jobs_and_none_is_left(
    live_url: str, live: WorkerActor, pool: ThreadPoolExecutor
) -> None:
    waiting = asking(pool, live_url, 30)
    submitted = [live.submit() for _ in range(30)]
    before = time.monotonic()
    claimed = [ok(one.result())["job"]["id"] for one in waiting]
    assert Counter(claimed) == Counter(submitted)
    assert time.monotonic() - before < 5


def test_a_worker_that_waits_is_woken_for_its_own_family(
    live_url: str, live: WorkerActor, pool: ThreadPoolExecutor
) -> None:
    plain = asking(pool, live_url, 8)
    # The last of all who wait, of whom each job wakes one.
    (own,) = asking(pool, live_url, 1, families=[OWN])
    before = time.monotonic()
    job_id = live.submit(network={"family": "own"})
    assert ok(own.result())["job"]["id"] == job_id
    # Those who look for news by themselves, once a second, would need longer.
    assert time.monotonic() - before < 5
    assert not any(one.done() for one in plain)
    submitted = [live.submit() for _ in plain]
    assert Counter(ok(one.result())["job"]["id"] for one in plain) == Counter(submitted)


def test_who_waits_beside_jobs_of_other_families_rests(
    live_url: str,
    live: WorkerActor,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        live.submit(network={"family": "own"})
    claim, tries = ClaimDesk.claim, []

    def counted(desk: ClaimDesk, asked: ClaimRequest) -> Claim | None:
        tries.append(asked.worker)
        return claim(desk, asked)

    monkeypatch.setattr(ClaimDesk, "claim", counted)
    waiting = asking(pool, live_url, 4, seconds=4)
    for _ in range(5):
        live.submit(network={"family": "own"})
    assert [one.result().status_code for one in waiting] == [204] * 4
    # One look by each, one for each job that was queued, and at most one a second for news.
    assert len(tries) <= 4 + 5 + 6


def test_one_who_left_takes_no_job_from_those_who_wait(
    live_url: str, live: WorkerActor, pool: ThreadPoolExecutor
) -> None:
    body = {"worker": "gone", "wait_seconds": 15}
    for _ in range(3):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{live_url}{CLAIM}", json=body, timeout=0.3)
    (waiting,) = asking(pool, live_url, 1)
    live.submit()
    job = ok(waiting.result())["job"]
    assert job["worker"] == "w0"


def test_who_waits_is_let_go_when_the_service_stops(
    settings: Settings, pool: ThreadPoolExecutor
) -> None:
    with served(settings) as url:
        waiting = asking(pool, url, 5)
        time.sleep(2)
        before = time.monotonic()
    assert time.monotonic() - before < 3
    assert all(one.result().status_code in {204, 503} for one in waiting)


@pytest.mark.parametrize("seconds", [-1, 61, "long"])
def test_a_wrong_time_to_wait_is_named(live: WorkerActor, seconds: Any) -> None:
    body = {"worker": "w", "wait_seconds": seconds}
    (error,) = problem(live.client.post(CLAIM, json=body), 422)["errors"]
    assert error["field"] == "wait_seconds"
