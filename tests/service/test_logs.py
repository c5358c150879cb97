"""What the service and the worker log: ids, one line per request, and no secret."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import Settings, create_app
from shrinknets import logs
from shrinknets.logs import LogFormat, make_formatter
from tests.postgres import PostgresServer
from tests.service.actors import WorkerActor, ok, problem, record
from tests.service.conftest import TestClient
from tests.service.processes import ServiceProcess


def line(form: LogFormat, message: str, *args: object, **fields: Any) -> str:
    entry = logging.LogRecord("x", logging.INFO, "", 0, message, args, None)
    entry.fields = fields
    return make_formatter(form, secrets=["hunter22"]).format(entry)


def test_a_json_line_holds_what_it_is_about() -> None:
    with logs.about(job_id="job-1"):
        told = json.loads(line(LogFormat.JSON, "done %d", 3, milliseconds=1.5))
    assert told["message"] == "done 3"
    assert (told["job_id"], told["milliseconds"], told["level"]) == ("job-1", 1.5, "info")
    assert "job_id" not in json.loads(line(LogFormat.JSON, "later"))


def test_nobody_can_forge_a_line_of_the_log() -> None:
    text = line(LogFormat.HUMAN, "GET /a\n2026 ERROR x: \x1b[31mforged", path="b\nc")
    assert "\n" not in text
    assert "\x1b" not in text
    assert "\\n2026 ERROR" in text


@pytest.mark.parametrize(
    "text",
    [
        "connect to postgresql://me:hunter22@host/db",
        "connect to postgresql://me:an0ther%40secret@host/db",
        "Authorization: Bearer an0ther-secret",
        "[(b'authorization', b'Bearer an0ther-secret'), (b'a', b'b')]",
        "{'cookie': 'session=an0ther-secret; a=b'}",
        "headers={'Lease-Token': 'an0ther-secret'}",
        "host=x password=an0ther-secret user=y",
        "sent Bearer an0ther-secret to x",
    ],
)
@pytest.mark.parametrize("form", list(LogFormat))
def test_what_looks_like_a_secret_is_hidden(form: LogFormat, text: str) -> None:
    for told in (line(form, text), line(form, "%s", text), line(form, "x", field=text)):
        assert "secret" not in told
        assert "hunter22" not in told
        assert "***" in told


def test_a_traceback_keeps_its_lines_and_no_secret() -> None:
    try:
        int("postgresql://me:hunter22@host")
    except ValueError:
        entry = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), sys.exc_info())
    text = make_formatter(LogFormat.HUMAN).format(entry)
    assert "Traceback (most recent call last):\n" in text
    assert "hunter22" not in text


def test_an_answer_names_its_request(client: TestClient) -> None:
    made = client.get("/healthz").headers["x-request-id"]
    assert made != client.get("/healthz").headers["x-request-id"]
    given = client.get("/healthz", headers={"X-Request-Id": "from-a-proxy:7"})
    assert given.headers["x-request-id"] == "from-a-proxy:7"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, "<script>", "a\tb", "ä".encode()])
def test_an_id_that_is_not_sane_is_replaced(client: TestClient, bad: str | bytes) -> None:
    answer = client.get("/healthz", headers={"X-Request-Id": bad})
    assert answer.headers["x-request-id"].startswith("req-")


def test_a_problem_names_its_request(client: TestClient) -> None:
    for path, status in (("/api/v1/jobs/job-1", 404), ("/no", 404), ("/api/v1/jobs?limit=x", 422)):
        answer = client.get(path, headers={"X-Request-Id": "abc"})
        assert problem(answer, status)["request_id"] == "abc"
        assert answer.headers["x-request-id"] == "abc"


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_a_bug_is_answered_and_logged_with_the_id_of_its_request(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError

    with (
        caplog.at_level(logging.INFO),
        TestClient(app, raise_server_exceptions=False) as client,
    ):
        answer = client.get("/bug", headers={"X-Request-Id": "abc"})
    assert problem(answer, 500)["request_id"] == "abc"
    assert answer.headers["x-request-id"] == "abc"
    (access,) = [r for r in caplog.records if r.name == "service.access"]
    assert access.fields["status"] == 500  # type: ignore[attr-defined]


@pytest.fixture
def password_server(postgres: PostgresServer) -> Iterator[str]:
    postgres.execute("CREATE ROLE keeper LOGIN SUPERUSER PASSWORD 'pw-hunter22'")
    postgres.execute("CREATE DATABASE kept OWNER keeper")
    yield f"postgresql://keeper:pw-hunter22@/kept?host={postgres.folder}"
    postgres.drop("kept")
    postgres.execute("DROP ROLE keeper")


@pytest.mark.slow
@pytest.mark.parametrize("form", list(LogFormat))
def test_a_server_that_tells_all_it_can_tells_no_secret(
    password_server: str, tmp_path: Path, form: LogFormat
) -> None:
    variables = {"LOG_LEVEL": "debug", "LOG_FORMAT": form.value, "MIGRATE_ON_START": "true"}
    secret = "an0ther-secret-value"
    with (
        ServiceProcess(tmp_path, DATABASE_URL=password_server, **variables) as process,
        process.client() as client,
    ):
        client.headers.update({"Authorization": f"Bearer {secret}", "Cookie": f"session={secret}"})
        worker = WorkerActor(client)
        job_id = worker.submit()
        worker.claim()
        attempt = worker.begin()
        ok(worker.report(attempt, record(1)))
        worker.post(f"/jobs/{job_id}/renew", "wrong" + worker.token)
        client.get("/no", headers={"Lease-Token": attempt["token"]})
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(60) == 0
        log = process.log
    assert len(log.splitlines()) > 8
    for hidden in ("hunter22", secret, worker.token, attempt["token"]):
        assert hidden not in log
    assert job_id in log
    if form is LogFormat.JSON:
        lines = [json.loads(entry) for entry in log.splitlines() if "ShrinkNets is at" not in entry]
        # uvicorn's own lines go the same way.
        assert {"uvicorn.error", "service.access"} <= {entry["logger"] for entry in lines}
        claim = next(e for e in lines if e.get("route") == "/api/v1/worker/claim")
        assert (claim["job_id"], claim["status"]) == (job_id, 200)
        report = next(e for e in lines if e.get("route", "").endswith("{attempt_id}/records"))
        assert report["attempt_id"] == attempt["id"]
        assert report["milliseconds"] > 0
        assert report["request_id"].startswith("req-")


@pytest.mark.slow
def test_a_worker_logs_in_the_same_words(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "worker", "--url", "http://me:hunter22@127.0.0.1:1"],
        env={**os.environ, "SHRINKNETS_LOG_FORMAT": "json", "SHRINKNETS_LOG_LEVEL": "debug"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = [process.stderr.readline() for _ in range(2)]
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    rest = process.stderr.read()
    process.stderr.close()
    told = [json.loads(entry) for entry in [*lines, *rest.splitlines()]]
    assert told[-1]["message"] == "stopped"
    assert "hunter22" not in "".join([*lines, rest])
