"""Thousands of requests made from the OpenAPI document, right and wrong ones, to a real server."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.store import Store
from shrinknets.wire import Role
from tests.service.actors import WorkerActor, network, ok, record
from tests.service.guarded import bearer, make_key
from tests.service.processes import ServiceProcess

EXAMPLES = int(os.environ.get("FUZZING_EXAMPLES", "12"))
"""For each operation, at most; 60 make more than 5,000 cases for each database."""
CASES = 80 * EXAMPLES
"""At least so many for each database."""
LIMIT_SECONDS = 300 + 30 * EXAMPLES
JOBS = 20


@pytest.mark.slow
@pytest.mark.timeout(LIMIT_SECONDS + 100)
def test_no_request_breaks_the_service_or_is_answered_otherwise_than_documented(
    store: Store, database_url: str, tmp_path: Path
) -> None:
    _, key = make_key(store, Role.ADMIN)
    # Leases outlast the run, so that the tokens hold.
    leases = {"JOB_LEASE_SECONDS": "3600", "ATTEMPT_LEASE_SECONDS": "3600"}
    with ServiceProcess(tmp_path / "service", DATABASE_URL=database_url, **leases) as service:
        with service.client() as client:
            client.headers.update(bearer(key))
            known = make_things([WorkerActor(client) for _ in range(JOBS)])
        output, status = fuzz(service.url, key, known, tmp_path)
        log = service.log
    assert status == 0, output
    cases = re.search(r"(\d+) generated", output)
    assert cases is not None, output
    assert int(cases[1]) >= CASES
    assert "Traceback" not in log
    assert key not in log


def make_things(workers: list[WorkerActor]) -> dict[str, list[str]]:
    """Jobs that run, each with a trial that runs and one that ended; returns their ids."""
    known: dict[str, list[str]] = {
        name: [] for name in ("job_id", "trial_id", "attempt_id", "network_id", "sha256", "token")
    }
    for worker in workers:
        worker.submit(labels={"team": "vision"})
        ok(worker.claim())
        done, running = worker.begin(0), worker.begin(1)
        weights = worker.job_id.encode()
        ok(worker.upload(done, weights))
        ok(worker.report(done, record(1), record(2)))
        ok(worker.end(done, networks=[network(weights)]))
        ok(worker.report(running, record(1)))
        found: Any = ok(worker.client.get(f"/api/v1/jobs/{worker.job_id}/networks"))["items"]
        known["job_id"].append(worker.job_id)
        known["trial_id"] += [done["trial"]["id"], running["trial"]["id"]]
        known["attempt_id"] += [running["id"], done["id"]]
        known["network_id"] += [each["id"] for each in found]
        known["dataset"] = ["digits", "wine", "own"]
        known["token"] += [worker.token, running["token"], done["token"]]
    return known


def fuzz(url: str, key: str, known: dict[str, list[str]], folder: Path) -> tuple[str, int]:
    """Run schemathesis with all of its checks; returns what it printed and its exit status."""
    ids = folder / "ids.json"
    ids.write_text(json.dumps(known))
    config = folder / "schemathesis.toml"
    config.write_text(f'[auth.openapi.ApiKey]\nbearer = "{key}"\n')
    document = Path(__file__).parents[2] / "docs" / "openapi.json"
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.service.fuzzing_hooks",
        "FUZZING_IDS": str(ids),
        "PYTHONPATH": str(document.parents[1]),
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
            *("run", str(document), "--url", url, "--checks", "all", "--seed", "1"),
            *("--max-examples", str(EXAMPLES), "--continue-on-failure", "--no-color"),
            # Event streams do not end by themselves; they have tests of their own.
            *("--exclude-path-regex", "/events$", "--suppress-health-check", "all"),
            *("--request-timeout", "30"),
        ],
        cwd=folder,
        env={**os.environ, **hooks},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )
    return done.stdout + done.stderr, done.returncode
