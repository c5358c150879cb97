"""SIGTERM: running requests end, streams close, nothing is claimed any more, status 0 in time."""

import contextlib
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service import Settings, create_app
from shrinknets.wire import LEASE_HEADER
from tests.service.actors import WorkerActor, ok, problem, sha256, spec
from tests.service.conftest import TestClient
from tests.service.processes import ServiceProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServiceProcess]:
    with ServiceProcess(tmp_path, SHUTDOWN_SECONDS="3") as process:
        yield process


def upload_slowly(
    process: ServiceProcess, attempt: dict[str, str], is_begun: threading.Event, seconds: float
) -> tuple[str, httpx.Response]:
    content = b"x" * 1000

    def parts() -> Iterator[bytes]:
        yield content[:500]
        is_begun.set()
        time.sleep(seconds)
        yield content[500:]

    with process.client() as client:
        response = client.put(
            f"/api/v1/worker/artifacts/{sha256(content)}",
            content=parts(),
            headers={LEASE_HEADER: attempt["token"]},
        )
    return sha256(content), response


def submit_in_vain(client: httpx.Client) -> None:
    with contextlib.suppress(httpx.HTTPError):
        assert not client.post("/api/v1/jobs", json=spec()).is_success


@pytest.mark.alone
def test_a_slow_request_ends_and_a_stream_closes(process: ServiceProcess) -> None:
    with process.client() as client:
        worker = WorkerActor(client)
        worker.submit()
        worker.claim()
        attempt = worker.begin()
    is_begun = threading.Event()
    answers: list[tuple[str, httpx.Response]] = []
    upload = threading.Thread(
        target=lambda: answers.append(upload_slowly(process, attempt, is_begun, 1.5))
    )
    with httpx.stream("GET", f"{process.url}/api/v1/events", timeout=20) as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": ping"
        upload.start()
        is_begun.wait(10)
        before = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        said = [line for line in lines if line]
        closed = time.monotonic() - before
    upload.join()
    assert process.popen.wait(60) == 0
    seconds = time.monotonic() - before
    assert said[-2:] == ["event: end", 'data: {"reason":"shutdown"}']
    assert closed < 1.2, "the stream did not wait for the upload"
    assert 1.0 < seconds < 3.5
    digest, response = answers[0]
    assert response.status_code == 201
    stored = process.folder / "artifacts" / digest[:2] / digest[2:4] / digest
    assert stored.read_bytes() == b"x" * 1000


@pytest.mark.alone
def test_a_request_without_end_is_cut_off_at_the_limit(process: ServiceProcess) -> None:
    with process.client() as client:
        worker = WorkerActor(client)
        worker.submit()
        worker.claim()
        attempt = worker.begin()
    host, port = process.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"PUT /api/v1/worker/artifacts/{'0' * 64} HTTP/1.1\r\nHost: localhost\r\n"
            f"{LEASE_HEADER}: {attempt['token']}\r\nContent-Length: 9\r\n\r\nabc".encode()
        )
        time.sleep(0.3)
        before = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(60) == 0
        assert 2.5 < time.monotonic() - before < 6


@pytest.mark.alone
def test_a_thread_that_hangs_does_not_keep_the_process(process: ServiceProcess) -> None:
    with (
        sqlite3.connect(process.folder / "shrinknets.db", isolation_level=None) as other,
        process.client() as client,
    ):
        other.execute("BEGIN IMMEDIATE")
        hanging = threading.Thread(target=submit_in_vain, args=(client,))
        hanging.start()
        time.sleep(0.3)
        before = time.monotonic()
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(60) == 0
        assert time.monotonic() - before < 8
        hanging.join()
        other.execute("ROLLBACK")


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_service_that_stops_lets_nothing_be_claimed_but_takes_results(
    settings: Settings,
) -> None:
    app = create_app(settings)
    with TestClient(app) as client:
        worker = WorkerActor(client)
        worker.submit()
        worker.submit()
        worker.claim()
        attempt = worker.begin()
        client.portal.call(app.state.services.bell.close)  # type: ignore[union-attr]
        answer = worker.claim()
        assert "shutting down" in problem(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        assert problem(client.get("/readyz"), 503)["errors"][0]["field"] == "service"
        ok(worker.end(attempt, "failed"))
        ok(worker.release("queued"))
