"""Readers of event streams over real connections, and many events to read."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from service.store import Store, events


@dataclass
class Heard:
    """What a stream said."""

    ids: list[int] = field(default_factory=list)
    end: str | None = None
    """Why it ended, where it said so."""


@contextmanager
def following(
    url: str, path: str = "/events", **options: Any
) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a stream as they arrive."""
    with (
        httpx.Client(base_url=url, timeout=10) as client,
        client.stream("GET", f"/api/v1{path}", **options) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        yield parsed(response.iter_lines())


def parsed(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    for line in lines:
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
        elif line.startswith("id: "):
            assert line == f"id: {event['id']}"
            yield event


def read_whole(url: str, path: str = "/events", *, after: int = 0, until: int = 0) -> Heard:
    """All of a stream, up to its end or to the event `until`."""
    heard = Heard()
    with (
        httpx.Client(base_url=url, timeout=60) as client,
        client.stream("GET", f"/api/v1{path}", params={"after": after}) as response,
    ):
        note(heard, response.iter_lines(), until=until)
    return heard


def note(heard: Heard, lines: Iterator[str], *, until: int = 0) -> None:
    """Note what a stream says, line by line."""
    for line in lines:
        if line.startswith("id: "):
            heard.ids.append(int(line.removeprefix("id: ")))
            if until and heard.ids[-1] >= until:
                return
        elif line.startswith('data: {"reason":'):
            heard.end = json.loads(line.removeprefix("data: "))["reason"]


def deaf_reader(url: str, path: str = "/events") -> socket.socket:
    """A connection that asks for a stream and reads nothing."""
    address = httpx.URL(url)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect((address.host, address.port))
    reader.settimeout(30)
    reader.sendall(f"GET /api/v1{path} HTTP/1.1\r\nHost: {address.host}\r\n\r\n".encode())
    return reader


def lines_of(reader: socket.socket) -> Iterator[str]:
    """What a connection has to say, up to its end; sizes of chunks are lines of their own."""
    with reader.makefile("rb") as file:
        for line in file:
            yield line.decode().rstrip("\r\n")
            if line == b"0\r\n":
                return


def tell_many(store: Store, count: int, *, job_id: str = "job-many", per_commit: int = 1000) -> int:
    """Write so many events; returns the id of the last."""
    for start in range(0, count, per_commit):
        with store.writing() as tx:
            for number in range(start, min(start + per_commit, count)):
                tx.tell(f"k{number}", job_id=job_id)
    return last_event(store)


def last_event(store: Store) -> int:
    with store.reading() as tx:
        return events.latest_event_id(tx)
