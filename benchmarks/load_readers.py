"""Readers of event streams in a process of their own, and a writer that keeps a rate."""

import asyncio
import multiprocessing
import re
import time
from dataclasses import dataclass, field
from multiprocessing.queues import Queue
from typing import Any
from urllib.parse import urlsplit

import httpx

from benchmarks.load_server import Served
from service.store import Store, events

ID = re.compile(rb"^id: (\d+)", re.MULTILINE)
COMMITS_PER_SECOND = 50
SAMPLED = 10
"""One reader of so many looks at the times; all count."""


@dataclass
class Heard:
    """What all readers heard together."""

    delivered: int = 0
    seconds: float = 0.0
    delays_ms: list[float] = field(default_factory=list)


def follow_with(served: Served, *, readers: int, rate: int, seconds: int) -> Heard:
    """Let readers follow while a writer writes; returns once all heard all, or after a minute."""
    context = multiprocessing.get_context("spawn")
    ready, told = context.Queue(), context.Queue()
    with Store(served.database_url) as store, store.reading() as tx:
        first = events.latest_event_id(tx)
    last = first + rate * seconds
    options = {"readers": readers, "first": first, "last": last, "ready": ready}
    reading = context.Process(target=_run, args=(served.url, told, options))
    reading.start()
    ready.get(timeout=120)
    started = time.monotonic()
    written = _write(served, rate=rate, seconds=seconds, first=first)
    delivered, heard_at, ended = told.get(timeout=seconds + 120)
    reading.join()
    delays = [1000 * (at - written[number]) for number, at in heard_at if number in written]
    return Heard(delivered=delivered, seconds=ended - started, delays_ms=delays)


def _write(served: Served, *, rate: int, seconds: int, first: int) -> dict[int, float]:
    """Through records of 50 commits a second, as another server process would."""
    written, per_commit = {}, rate // COMMITS_PER_SECOND
    begin, number = time.monotonic(), first
    with Store(served.database_url) as store:
        for commit in range(COMMITS_PER_SECOND * seconds):
            with store.writing() as tx:
                for at in range(per_commit):
                    tx.tell(f"k{at}", job_id=f"job-{commit % 100}")
            now = time.monotonic()
            written |= {number + at: now for at in range(1, per_commit + 1)}
            number += per_commit
            time.sleep(max(0.0, begin + (commit + 1) / COMMITS_PER_SECOND - time.monotonic()))
    httpx.get(f"{served.url}/healthz", timeout=30)
    return written


def _run(url: str, told: "Queue[object]", options: dict[str, Any]) -> None:
    told.put(asyncio.run(_follow_all(url, **options)))


async def _follow_all(
    url: str, *, readers: int, first: int, last: int, ready: "Queue[int]"
) -> tuple[int, list[tuple[int, float]], float]:
    heard_at: list[tuple[int, float]] = []
    opened = [await _open(url, first) for _ in range(readers)]
    ready.put(1)
    tasks = [
        _read(reader, last, heard_at if at % SAMPLED == 0 else None)
        for at, (reader, _) in enumerate(opened)
    ]
    counts = await asyncio.gather(*tasks)
    return sum(counts), heard_at, time.monotonic()


async def _open(url: str, first: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = urlsplit(url).hostname, urlsplit(url).port
    reader, writer = await asyncio.open_connection(host, port, limit=2**20)
    asked = f"GET /api/v1/events?after={first} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    writer.write(asked.encode())
    await reader.readuntil(b"ping")
    return reader, writer


def _last_id(content: bytes, before: int) -> int:
    at = content.rfind(b"\nid: ")
    return before if at < 0 else int(content[at + 5 :].split(b"\n", 1)[0])


async def _read(
    reader: asyncio.StreamReader, last: int, heard_at: list[tuple[int, float]] | None
) -> int:
    count, newest, rest = 0, 0, b""
    while newest < last:
        try:
            content = rest + await asyncio.wait_for(reader.read(2**18), 60)
        except TimeoutError:
            break
        whole, _, rest = content.rpartition(b"\n\n")
        if heard_at is None:
            # Most only count: to parse all would cost more than the server's work.
            count += whole.count(b"\nid: ")
            newest = _last_id(whole, newest)
            continue
        ids = [int(one) for one in ID.findall(whole)]
        now = time.monotonic()
        assert ids == sorted({*ids}), "in order and once"
        assert not ids or ids[0] > newest
        newest = ids[-1] if ids else newest
        count += len(ids)
        heard_at += [(number, now) for number in ids]
    return count
