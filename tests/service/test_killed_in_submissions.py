"""A service that is killed in the middle of submissions loses none and doubles none."""

import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.service.actors import ok, spec
from tests.service.test_server import Process

pytestmark = pytest.mark.slow

CLIENTS = 100
JOBS = "/api/v1/jobs"


def submit(url: str, number: int) -> httpx.Response:
    headers = {"Idempotency-Key": f"key-{number}"}
    body = spec(name=f"job {number}")
    return httpx.post(f"{url}{JOBS}", json=body, headers=headers, timeout=60)


def test_what_was_answered_is_there_after_a_kill_and_nothing_is_twice(
    tmp_path: Path, database_url: str
) -> None:
    first = Process(tmp_path, DATABASE_URL=database_url)
    url = first.url()
    answered: dict[int, str] = {}
    is_enough, together = threading.Event(), threading.Barrier(CLIENTS)

    def try_to(number: int) -> None:
        together.wait(60)
        try:
            answer = submit(url, number)
        except httpx.TransportError:
            return
        assert answer.status_code == 201, answer.text
        answered[number] = answer.json()["id"]
        if len(answered) >= CLIENTS // 4:
            is_enough.set()

    with ThreadPoolExecutor(CLIENTS) as pool:
        tries = [pool.submit(try_to, number) for number in range(CLIENTS)]
        assert is_enough.wait(60)
        os.kill(first.popen.pid, signal.SIGKILL)
        for one in tries:
            one.result()
    first.popen.communicate()
    assert CLIENTS // 4 <= len(answered) < CLIENTS, "it was to be killed in the middle"

    second = Process(tmp_path, DATABASE_URL=database_url)
    try:
        url = second.url()
        assert {number: _job_of(url, number) for number in answered} == answered
        with ThreadPoolExecutor(20) as pool:
            again = list(pool.map(lambda number: submit(url, number), range(CLIENTS)))
        for number, answer in enumerate(again):
            assert answer.status_code in ({200} if number in answered else {200, 201})
            assert ok(answer)["id"] == answered.get(number, answer.json()["id"])
        everything = ok(httpx.get(f"{url}{JOBS}", params={"limit": 1000}))["items"]
        names = Counter(job["name"] for job in everything)
        assert names == {f"job {number}": 1 for number in range(CLIENTS)}, json.dumps(names)
    finally:
        second.popen.kill()
        second.popen.communicate()


def _job_of(url: str, number: int) -> str | None:
    found = ok(httpx.get(f"{url}{JOBS}", params={"text": f"job {number}", "limit": 100}))["items"]
    return next((job["id"] for job in found if job["name"] == f"job {number}"), None)
