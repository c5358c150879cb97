"""Bodies that are too large, that come too slowly, or whose sender goes away."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service import Settings, read_settings
from tests.service.actors import WorkerActor, ok, problem
from tests.service.arrays import npz, rows

DATASETS = "/api/v1/datasets?name=mine"
SLOW_SECONDS = 0.6
HEAD = "{method} {path} HTTP/1.1\r\nHost: testserver\r\nContent-Type: {kind}\r\n{more}\r\n"


@pytest.fixture
def dialect() -> str:
    return "sqlite"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    limits = {"max_dataset_bytes": 2**20, "slow_body_seconds": SLOW_SECONDS}
    return read_settings(**{**settings.model_dump(), **limits})


@pytest.fixture
def connection(live_url: str) -> Iterator[socket.socket]:
    port = int(live_url.rsplit(":", 1)[1])
    with closing(socket.create_connection(("127.0.0.1", port), timeout=10)) as made:
        yield made


def send_head(
    connection: socket.socket,
    more: str,
    *,
    method: str = "POST",
    path: str = DATASETS,
    kind: str = "application/zip",
) -> None:
    head = HEAD.format(method=method, path=path, kind=kind, more=more)
    connection.sendall(head.encode())


def status_of(connection: socket.socket) -> int:
    return int(connection.recv(4096).split()[1])


def left_behind(settings: Settings) -> list[Path]:
    known = {"test.db", "test.db-wal", "test.db-shm"}
    return [p for p in settings.data_dir.rglob("*") if p.is_file() and p.name not in known]


def test_a_body_that_says_that_it_is_too_large_is_refused_before_it_comes(
    connection: socket.socket,
) -> None:
    send_head(connection, f"Content-Length: {2**20 + 1}\r\n")
    assert status_of(connection) == 413


def test_a_body_in_chunks_is_cut_off_at_the_limit(live_url: str, settings: Settings) -> None:
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b"PK\x03\x04"
        while sent < 64 * 2**20:
            sent += 2**16
            yield bytes(2**16)

    headers = {"Content-Type": "application/zip"}
    answer = httpx.post(f"{live_url}{DATASETS}", content=chunks(), headers=headers)
    assert "1,048,576 bytes" in problem(answer, 413)["detail"]
    assert left_behind(settings) == []


def test_a_client_that_dies_leaves_nothing_behind(
    connection: socket.socket,
    live_url: str,
    settings: Settings,
    wait_until: Callable[[Callable[[], bool]], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    send_head(connection, "Content-Length: 100000\r\n")
    connection.sendall(b"PK\x03\x04" + bytes(50_000))
    time.sleep(0.2)
    connection.close()
    time.sleep(0.2)
    assert ok(httpx.get(f"{live_url}/api/v1/datasets?source=uploaded"))["items"] == []
    assert left_behind(settings) == []
    assert caplog.records == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [(DATASETS, "application/zip"), ("/api/v1/jobs", "application/json")],
)
def test_a_body_that_trickles_is_refused_after_a_while(
    connection: socket.socket, path: str, kind: str
) -> None:
    send_head(connection, "Content-Length: 100000\r\n", path=path, kind=kind)
    connection.settimeout(0.1)
    started = time.monotonic()
    content = iter(b"PK\x03\x04" + bytes(1000))
    answer = b""
    while not answer:
        assert time.monotonic() - started < 5
        connection.sendall(bytes([next(content)]))
        try:
            answer = connection.recv(4096)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"problem+json" in answer
    assert b"connection: close" in answer.lower()
    assert time.monotonic() - started > SLOW_SECONDS / 2


def test_a_body_that_comes_steadily_may_take_its_time(
    connection: socket.socket,
) -> None:
    content = npz(**rows(4000))
    send_head(connection, f"Content-Length: {len(content)}\r\n")
    started = time.monotonic()
    for start in range(0, len(content), 8000):
        connection.sendall(content[start : start + 8000])
        time.sleep(0.1)
    assert time.monotonic() - started > SLOW_SECONDS
    assert status_of(connection) == 201


def test_streams_of_events_are_never_too_slow(
    connection: socket.socket, live_url: str, settings: Settings
) -> None:
    # One that says that it has a body, too, which it never sends.
    more = "Content-Length: 5\r\n"
    send_head(connection, more, method="GET", path="/api/v1/events", kind="text/plain")
    time.sleep(3 * SLOW_SECONDS)
    with httpx.Client(base_url=live_url) as client:
        WorkerActor(client).submit()
    received = b""
    while b'"kind":"job"' not in received:
        part = connection.recv(4096)
        assert part, received
        received += part
    assert received.startswith(b"HTTP/1.1 200")
