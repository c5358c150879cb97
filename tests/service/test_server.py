"""The service as a process: how it starts, refuses to start, stops, and survives a kill."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.service.actors import WorkerActor, network, ok, problem, record

pytestmark = pytest.mark.slow

START_SECONDS = 60
Starter = Callable[..., "Process"]


class Process:
    """`python -m service` with settings of its own."""

    def __init__(self, folder: Path, *arguments: str, **settings: str) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SHRINKNETS_")}
        chosen = {"DATA_DIR": str(folder), "PORT": "0", "LOG_LEVEL": "warning", **settings}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "service", *arguments],
            env=environment | {f"SHRINKNETS_{name}": value for name, value in chosen.items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def url(self) -> str:
        """The address that the process tells once it answers."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.startswith("ShrinkNets is at http://"), self.popen.communicate()
        return line.split()[-1]

    def ends(self) -> tuple[int, str]:
        """Its exit status and what it said on standard error."""
        _, errors = self.popen.communicate(timeout=START_SECONDS)
        return self.popen.returncode, errors


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    started: list[Process] = []

    def start_process(*arguments: str, **settings: str) -> Process:
        started.append(Process(tmp_path, *arguments, **settings))
        return started[-1]

    yield start_process
    for process in started:
        process.popen.kill()
        process.popen.communicate()


def test_nothing_finished_is_lost_when_the_server_is_killed_in_the_middle(
    start: Starter, database_url: str
) -> None:
    first = start(DATABASE_URL=database_url)
    with httpx.Client(base_url=first.url()) as client:
        worker = WorkerActor(client)
        job_id = worker.submit()
        worker.claim()
        done = worker.finish(0)
        attempt = worker.begin(1)
        ok(worker.report(attempt, record(1), record(2)))
    first.popen.kill()
    first.ends()
    second = start(DATABASE_URL=database_url)
    with httpx.Client(base_url=second.url()) as worker.client:
        client = worker.client
        assert ok(client.get(f"/api/v1/trials/{done['id']}")) == done
        (found,) = ok(client.get(f"/api/v1/trials/{done['id']}/networks"))["items"]
        assert client.get(f"/api/v1/networks/{found['id']}/weights").content == b"weights"
        # The worker and its trial outlived the server and go on as if nothing had happened.
        assert ok(worker.renew()) == {"order": "continue"}
        ok(worker.report(attempt, record(2), record(3)))
        ok(worker.upload(attempt, b"more"))
        ended = ok(worker.end(attempt, networks=[network(b"more")]))
        assert (ended["state"], ended["epochs"]) == ("complete", 3)
        assert ok(worker.release("succeeded"))["progress"]["ended"] == 2
        assert ok(client.get(f"/api/v1/jobs/{job_id}"))["state"] == "succeeded"


def test_a_worker_that_died_with_the_server_loses_the_job_after_a_lease(start: Starter) -> None:
    first = start(JOB_LEASE_SECONDS="3")
    with httpx.Client(base_url=first.url()) as client:
        gone = WorkerActor(client)
        gone.submit()
        gone.claim()
        done = gone.finish(0)
        gone.begin(1)
    first.popen.kill()
    second = start(JOB_LEASE_SECONDS="3", EXPIRE_EVERY_SECONDS="0.1")
    with httpx.Client(base_url=second.url()) as client:
        heir = WorkerActor(client)
        deadline = time.monotonic() + 20
        while heir.claim("heir").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert heir.job_id == gone.job_id
        assert ok(heir.announce(0)) == done
        assert ok(heir.announce(1))["state"] == "waiting"
        gone.client = client
        problem(gone.renew(), 409)


@pytest.mark.parametrize("order", [signal.SIGTERM, signal.SIGINT])
def test_the_service_stops_at_once_although_streams_are_open(
    start: Starter, order: signal.Signals
) -> None:
    process = start()
    with httpx.stream("GET", f"{process.url()}/api/v1/events", timeout=10) as response:
        lines = response.iter_lines()
        assert next(lines) == ": ping"
        before = time.monotonic()
        process.popen.send_signal(order)
        assert list(lines) == ["", "event: end", 'data: {"reason":"shutdown"}', ""]
    status, errors = process.ends()
    assert time.monotonic() - before < 4
    assert (status, errors) == (0, "")


def test_a_port_that_is_taken_is_told_in_words(start: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        status, errors = start(PORT=str(port)).ends()
    assert status == 1
    assert errors.startswith(f"Cannot listen on 127.0.0.1, port {port}: Address already in use.")
    assert "SHRINKNETS_PORT" in errors


def test_a_data_folder_that_is_in_use_is_refused_until_its_service_is_gone(start: Starter) -> None:
    first = start()
    first.url()
    status, errors = start(SHUTDOWN_SECONDS="0.1").ends()
    assert status == 1
    assert errors.startswith("Another service runs on the data folder ")
    assert "SHRINKNETS_DATA_DIR" in errors
    second = start(SHUTDOWN_SECONDS="20")
    first.popen.send_signal(signal.SIGTERM)
    assert second.url()


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_services_with_one_database_server_may_share_a_folder(
    start: Starter, database_url: str
) -> None:
    assert start(DATABASE_URL=database_url).url() != start(DATABASE_URL=database_url).url()


def test_a_wrong_setting_is_told_in_words(start: Starter) -> None:
    status, errors = start(PORT="http").ends()
    assert status == 2
    assert "SHRINKNETS_PORT: got 'http', allowed is a whole number" in errors
    assert "Traceback" not in errors


def test_the_service_does_not_open_itself_to_the_network_by_accident(start: Starter) -> None:
    status, errors = start(HOST="0.0.0.0").ends()
    assert status == 2
    assert "SHRINKNETS_HOST: got '0.0.0.0'" in errors
    assert "shrinknets keys create --role admin" in errors
    assert "set SHRINKNETS_TRUST_NETWORK=true" in errors


def keys_command(start: Starter, *arguments: str) -> dict[str, Any]:
    process = start("keys", *arguments, "--json")
    output, errors = process.popen.communicate(timeout=START_SECONDS)
    assert process.popen.returncode == 0, errors
    made: dict[str, Any] = json.loads(output)
    return made


def test_with_a_key_the_service_opens_itself_to_the_network_and_asks_for_it(
    start: Starter,
) -> None:
    made = keys_command(start, "create", "--role", "admin", "--owner", "ada")
    process = start(HOST="0.0.0.0")
    with httpx.Client(base_url=process.url()) as client:
        problem(client.get("/api/v1/jobs"), 401)
        headers = {"Authorization": f"Bearer {made['key']}"}
        ok(client.get("/api/v1/jobs", headers=headers))
        keys_command(start, "revoke", made["id"])
        deadline = time.monotonic() + 10
        while client.get("/api/v1/jobs", headers=headers).status_code != 401:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    process.popen.kill()
    process.ends()
    status, errors = start(HOST="0.0.0.0").ends()
    assert (status, "neither revoked nor expired" in errors) == (2, True)


def test_an_operator_may_trust_the_network_without_keys(start: Starter) -> None:
    with httpx.Client(base_url=start(HOST="0.0.0.0", TRUST_NETWORK="true").url()) as client:
        ok(client.get("/api/v1/jobs"))


def test_an_unknown_command_is_answered_with_the_usage(start: Starter) -> None:
    status, errors = start("destroy").ends()
    assert status == 2
    assert errors.startswith("usage: python -m service")
    assert "invalid choice: 'destroy'" in errors


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_server_database_is_migrated_by_its_own_command(
    start: Starter, empty_database_url: str
) -> None:
    status, errors = start(DATABASE_URL=empty_database_url).ends()
    assert status == 1
    assert "python -m service migrate" in errors
    assert start("migrate", DATABASE_URL=empty_database_url).ends() == (0, "")
    assert start(DATABASE_URL=empty_database_url).url()


def test_a_database_that_is_away_is_told_in_words(start: Starter) -> None:
    status, errors = start(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none").ends()
    assert status == 1
    assert errors.startswith("Cannot use the database")
    assert "Traceback" not in errors
