"""The service under load, on SQLite and on PostgreSQL: what a request, a tick, a stream cost.

A real `python -m service` process; clients are threads or processes of this script on the same
machine, so all share its cores. PostgreSQL runs without fsync. `--only` picks parts:

    submissions   jobs per second and p99 of 16 clients over HTTP
    jobs          the first page of 10,000 jobs
    trials        a page of 50 of 10,000 trials with 100 records each, rows and thinned curves
    ticks         what an idle stream's look for news costs, and a page's poll that carries nothing
    records       points per second in batches of 100, 8 trials at once
    streams       500 readers while 1,000 events arrive per second
    claims        claims per second from 200,000 queued jobs, beside a plain SKIP LOCKED statement
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.load_readers import follow_with
from benchmarks.load_server import Served, percentile, serving
from service.claiming import ClaimDesk
from service.store import Store, events
from shrinknets.wire import LEASE_HEADER, ClaimRequest
from tests.postgres import PostgresServer, running_postgres

SPEC = {"dataset": "digits", "methods": {"shrinknets": {"trials": 2}}}
PARTS = ("submissions", "jobs", "trials", "ticks", "records", "streams", "claims")
CURVE_POINTS = (20, 50)
CLAIMERS = (1, 8, 40)
"""Threads that claim at once; the last are as many as a server process has."""
PLAIN_CLAIMERS = 8
COPY_JOB = """
    INSERT INTO jobs (id, state, reason, spec, name, folded_name, dataset, priority, total_trials,
                      created_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    SELECT 'job-c' || i, 'queued', '', spec, name, folded_name, dataset, 0, total_trials, created_at
    FROM n CROSS JOIN (SELECT * FROM jobs LIMIT 1) AS first
"""
COPY_TRIAL = """
    INSERT INTO trials (id, job_id, method, number, state, reason, params, seed, epochs,
                        train_seconds, validation_accuracy, widths, parameters, created_at)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    SELECT 'trial-c' || i, id, 'path', i, 'complete', '', '{{"lam": 0.01}}', i, 100,
           12.5, 0.9, '[12, 7]', 900, created_at
    FROM n CROSS JOIN (SELECT * FROM jobs WHERE id = '{job_id}') AS first
"""
COPY_RECORDS = """
    INSERT INTO records (trial_id, step, phase, train_loss, validation_loss, validation_accuracy,
                         widths, parameters, macs, lam, seconds)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
    SELECT id, i, 'shrink', 1.0 / i, 1.5 / i, 1 - 0.7 / i, '[100, 7]', 1000, 900, 0.01, 0.25
    FROM trials CROSS JOIN n
"""
PLAIN_CLAIM = """
    UPDATE jobs SET state = 'running', worker = 'w' WHERE id = (
        SELECT id FROM jobs WHERE state = 'queued' ORDER BY priority DESC, seq LIMIT 1
        FOR NO KEY UPDATE SKIP LOCKED) RETURNING id
"""


def record(step: int) -> dict[str, Any]:
    return {
        "step": step,
        "phase": "shrink",
        "train_loss": 0.5,
        "validation_loss": 0.6,
        "validation_accuracy": 0.5,
        "widths": [93, 41],
        "parameters": 10393,
        "macs": 10249,
        "lam": 0.004,
        "seconds": 0.12,
    }


def execute(url: str, *statements: str) -> None:
    with Store(url) as store, store.writing() as tx:
        for statement in statements:
            tx.connection.exec_driver_sql(statement)


def timed(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


def summary(milliseconds: list[float]) -> str:
    p50, p99 = statistics.median(milliseconds), percentile(milliseconds, 0.99)
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def submissions(served: Served) -> str:
    until = time.perf_counter() + 8

    def submit(_: int) -> list[float]:
        spent = []
        with httpx.Client(base_url=served.url, timeout=60, verify=False) as client:  # noqa: S501 (no TLS here)
            while time.perf_counter() < until:
                spent.append(
                    timed(lambda: client.post("/api/v1/jobs", json=SPEC).raise_for_status())
                )
        return spent

    with ThreadPoolExecutor(16) as pool:
        spent = [one for mine in pool.map(submit, range(16)) for one in mine]
    return f"{len(spent) / 8:.0f}/s, {summary(spent)}"


def repeated(served: Served, path: str, times: int = 200, **options: Any) -> str:
    with httpx.Client(base_url=served.url, timeout=60) as client:
        size = len(client.get(path, **options).raise_for_status().content)
        spent = [timed(lambda: client.get(path, **options)) for _ in range(times)]
    return f"{summary(spent)}, {size / 1000:.0f} kB"


def a_job(served: Served) -> str:
    answer = httpx.post(f"{served.url}/api/v1/jobs", json=SPEC, timeout=60)
    return str(answer.raise_for_status().json()["id"])


def jobs(served: Served) -> str:
    a_job(served)
    execute(served.database_url, COPY_JOB.format(count=10_000))
    first = repeated(served, "/api/v1/jobs", params={"limit": 50})
    return f"50 of them {first}; the dashboard's page {repeated(served, '/', 50)}"


def trials(served: Served) -> str:
    """As a page would: rows and curves by one request."""
    job_id = a_job(served)
    execute(served.database_url, COPY_TRIAL.format(count=10_000, job_id=job_id), COPY_RECORDS)
    execute(served.database_url, "ANALYZE")
    path = f"/api/v1/jobs/{job_id}/trials"
    told = [f"rows {repeated(served, path, params={'limit': 50})}"]
    for points in CURVE_POINTS:
        both = repeated(served, path, params={"limit": 50, "curves": points})
        told.append(f"with {points} points each {both}")
    return "; ".join(told)


def ticks(served: Served) -> str:
    a_job(served)
    with Store(served.database_url) as store:
        spent = [timed(lambda: look(store)) for _ in range(1000)]
    with httpx.Client(base_url=served.url, timeout=10) as client:
        body = {"worker": "w"}
        client.post("/api/v1/worker/claim", json=body)
        idle = [timed(lambda: client.post("/api/v1/worker/claim", json=body)) for _ in range(300)]
    return f"an idle look for events {summary(spent)}; an idle claim {summary(idle)}"


def look(store: Store) -> None:
    with store.reading() as tx:
        events.read_events(tx, after=10**9)


def records(served: Served) -> str:
    until = time.perf_counter() + 8
    a_job(served)
    worker = f"{served.url}/api/v1/worker"
    claim = httpx.post(f"{worker}/claim", json={"worker": "w"}).json()
    holds = {LEASE_HEADER: claim["token"]}

    def report(number: int) -> int:
        with httpx.Client(timeout=60) as client:
            body = {"method": "path", "number": number, "params": {}, "seed": 1}
            of_job = f"{worker}/jobs/{claim['job']['id']}/trials"
            trial = client.post(of_job, json=body, headers=holds).json()
            path = f"{worker}/trials/{trial['id']}/attempts"
            attempt = client.post(path, headers=holds).json()
            mine, step = {LEASE_HEADER: attempt["token"]}, 0
            while time.perf_counter() < until:
                batch = {"records": [record(step + at) for at in range(1, 101)]}
                path = f"{worker}/attempts/{attempt['id']}/records"
                client.post(path, json=batch, headers=mine).raise_for_status()
                step += 100
            return step

    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(report, range(8)))
    return f"{total / 8:.0f} points/s"


def streams(served: Served, *, readers: int = 500, rate: int = 1000, seconds: int = 20) -> str:
    cpu = served.cpu_seconds()
    heard = follow_with(served, readers=readers, rate=rate, seconds=seconds)
    spent = served.cpu_seconds() - cpu
    wanted = readers * rate * seconds
    return (
        f"{heard.delivered:,} of {wanted:,} delivered in {heard.seconds:.1f} s, "
        f"{summary(heard.delays_ms)}, server {spent / heard.seconds:.0%} of a core"
    )


def claims(served: Served, *, seconds: float = 5) -> str:
    a_job(served)
    execute(served.database_url, COPY_JOB.format(count=200_000))
    execute(served.database_url, "ANALYZE")
    told = []
    with Store(served.database_url) as store:
        desk = ClaimDesk(store, lease_seconds=600)
        for threads in CLAIMERS:
            rate = per_second(lambda: lambda: claim_one(desk), seconds, threads)
            told.append(f"{rate:.0f}/s with {threads}")
    if not served.database_url.startswith("sqlite"):
        plain = per_second(lambda: plain_claimer(served.database_url), seconds, PLAIN_CLAIMERS)
        told.append(f"plain statement {plain:.0f}/s with {PLAIN_CLAIMERS}: {rate / plain:.2f}")
    return ", ".join(told)


def claim_one(desk: ClaimDesk) -> None:
    assert desk.claim(ClaimRequest(worker="w")) is not None


def plain_claimer(url: str) -> Callable[[], None]:
    connection = psycopg.connect(url)

    def claim() -> None:
        connection.execute(PLAIN_CLAIM)
        connection.commit()

    return claim


def per_second(make: Callable[[], Callable[[], None]], seconds: float, threads: int) -> float:
    counts, until = [0] * threads, time.perf_counter() + seconds

    def run(at: int) -> None:
        one = make()
        while time.perf_counter() < until:
            one()
            counts[at] += 1

    running = [threading.Thread(target=run, args=(at,)) for at in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return sum(counts) / seconds


def measure(name: str, part: str, postgres: PostgresServer) -> None:
    with tempfile.TemporaryDirectory() as folder:
        database_url = (
            f"sqlite:///{folder}/shrinknets.db"
            if name == "SQLite"
            else postgres.create(f"load-{part}-{time.monotonic_ns()}")
        )
        with serving(Path(folder), database_url) as served:
            before = served.memory_mib()
            told = globals()[part](served)
            memory = f"{before:.0f} to {served.memory_mib():.0f} MiB"
    print(f"{name:<11} {part:<12} {told}; memory {memory}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with running_postgres() as postgres:
        for part in options.only:
            for _ in range(options.rounds):
                for name in ("SQLite", "PostgreSQL"):
                    measure(name, part, postgres)


if __name__ == "__main__":
    main()
