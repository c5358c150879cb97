"""`/readyz` says what is not ready, in time; `/system` and `/workers` tell what there is."""

import shutil
import sqlite3
import time
from pathlib import Path

import psycopg
import pytest

from service import Settings, create_app, read_settings
from service.store import Store, workers
from service.store.schema import _head
from shrinknets.wire import ClaimRequest
from tests.service.actors import WorkerActor, ok, problem
from tests.service.conftest import TestClient


def test_a_service_with_database_and_files_is_ready(client: TestClient, settings: Settings) -> None:
    assert ok(client.get("/readyz"))["status"] == "ok"
    left = [p for p in (settings.data_dir / "artifacts").rglob("*") if p.is_file()]
    assert left == []


def test_a_database_of_another_schema_is_not_ready(client: TestClient, store: Store) -> None:
    with store.writing() as tx:
        tx.connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    try:
        answer = problem(client.get("/readyz"), 503)
        assert [error["field"] for error in answer["errors"]] == ["database"]
        assert client.get("/healthz").status_code == 200
    finally:
        with store.writing() as tx:
            tx.connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{_head()}'")
    assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_an_artifact_store_that_cannot_be_written_is_not_ready(
    settings: Settings, tmp_path: Path
) -> None:
    # Not by permissions: the tests may run as root.
    (tmp_path / "artifacts").write_text("a file where the folder should be")
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        answer = problem(client.get("/readyz"), 503)
        assert "artifacts" in answer["detail"]
        assert [error["field"] for error in answer["errors"]] == ["artifacts"]
        assert str(tmp_path) not in str(answer)
        (tmp_path / "artifacts").unlink()
        assert client.get("/readyz").status_code == 200
        shutil.rmtree(tmp_path / "artifacts")
        (tmp_path / "artifacts").write_text("again")
        assert client.get("/readyz").status_code == 200, "a success is believed for a while"


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
def test_a_database_that_does_not_answer_is_told_within_the_limit(
    database_url: str, tmp_path: Path
) -> None:
    settings = read_settings(data_dir=tmp_path, database_url=database_url, ready_seconds=0.3)
    with (
        TestClient(create_app(settings), base_url="http://localhost") as client,
        psycopg.connect(database_url) as other,
    ):
        other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        for _ in range(3):
            before = time.monotonic()
            answer = problem(client.get("/readyz"), 503)
            assert time.monotonic() - before < 2
            assert [error["field"] for error in answer["errors"]] == ["database"]
        other.rollback()
        deadline = time.monotonic() + 5
        while client.get("/readyz").status_code != 200:
            assert time.monotonic() < deadline


@pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
def test_writers_do_not_make_sqlite_unready(client: TestClient, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "test.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert client.get("/readyz").status_code == 200
        other.execute("ROLLBACK")


def test_system_tells_versions_counts_and_storage(worker: WorkerActor, dialect: str) -> None:
    worker.submit()
    worker.submit()
    worker.claim()
    worker.finish(0, weights=b"1234567")
    told = ok(worker.client.get("/api/v1/system"))
    assert (told["database"], told["jobs"]["queued"], told["jobs"]["running"]) == (dialect, 1, 1)
    assert (told["trials"], told["networks"], told["workers"]) == (1, 1, 1)
    assert (told["storage"]["artifacts"], told["storage"]["artifact_bytes"]) == (1, 7)
    assert told["storage"]["database_bytes"] > 10_000


def test_a_worker_is_listed_with_what_it_holds(worker: WorkerActor) -> None:
    assert ok(worker.client.get("/api/v1/workers")) == []
    described = {"worker": "w1", "host": "machine", "device": "2 × NVIDIA H200"}
    assert worker.client.post("/api/v1/worker/claim", json=described).status_code == 204
    (idle,) = ok(worker.client.get("/api/v1/workers"))
    assert (idle["name"], idle["host"], idle["device"]) == ("w1", "machine", "2 × NVIDIA H200")
    assert (idle["state"], idle["jobs"], idle["trials"]) == ("idle", [], [])
    worker.submit()
    worker.claim("w1")
    attempt = worker.begin()
    (busy,) = ok(worker.client.get("/api/v1/workers"))
    assert (busy["state"], busy["jobs"]) == ("busy", [worker.job_id])
    assert busy["trials"] == [attempt["trial"]["id"]]


def test_a_worker_that_is_silent_is_told_so_and_forgotten_in_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing() as tx:
        workers.introduce(tx, [ClaimRequest(worker="w")])
    with store.reading() as tx:
        assert workers.list_workers(tx, silent_seconds=5)[0].state == "idle"
        assert workers.list_workers(tx, silent_seconds=-10)[0].state == "silent"
    with store.writing() as tx:
        assert workers.drop_silent(tx, days=1) == 0
        assert workers.drop_silent(tx, days=-1) == 1
    with store.reading() as tx:
        assert workers.list_workers(tx, silent_seconds=5) == []


def test_a_renewal_is_a_heartbeat_that_is_written_only_now_and_then(
    worker: WorkerActor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seen() -> str:
        return str(ok(worker.client.get("/api/v1/workers"))[0]["last_seen_at"])

    worker.submit()
    worker.claim("w1")
    first = seen()
    time.sleep(0.02)
    worker.renew()
    assert seen() == first
    monkeypatch.setattr(workers, "BEAT_SECONDS", 0.01)
    worker.renew()
    assert seen() > first
