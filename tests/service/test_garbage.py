"""What nothing refers to goes after its grace time, and no upload is ever harmed by that."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from service import GarbageReport, Settings, collect_garbage
from service.artifacts import Artifacts
from service.store import Store, events, networks, retention
from service.store.clock import now
from service.store.tables import artifacts as artifact_rows
from service.store.tables import events as event_rows
from tests.service.actors import WorkerActor, network, ok, sha256

Age = Callable[[str], None]
OLD = 48 * 3600


@pytest.fixture
def files(settings: Settings) -> Artifacts:
    return Artifacts(settings.artifacts_url)


@pytest.fixture
def age(store: Store, settings: Settings) -> Age:
    """Make a file look as if it had been handed in two days ago."""

    def age(digest: str) -> None:
        with store.writing() as tx:
            statement = update(artifact_rows).where(artifact_rows.c.sha256 == digest)
            tx.connection.execute(statement.values(created_at=now(plus_seconds=-OLD)))
        make_old(stored_at(settings, digest))

    return age


def stored_at(settings: Settings, digest: str) -> Path:
    return settings.data_dir / "artifacts" / digest[:2] / digest[2:4] / digest


def make_old(path: Path) -> None:
    when = path.stat().st_mtime - OLD
    os.utime(path, (when, when))


def begin(worker: WorkerActor) -> dict[str, Any]:
    worker.submit()
    worker.claim()
    return worker.begin()


def test_what_a_network_refers_to_stays(worker: WorkerActor, settings: Settings, age: Age) -> None:
    worker.submit()
    worker.claim()
    worker.finish(0, weights=b"wanted")
    ok(worker.release("succeeded"))
    age(sha256(b"wanted"))
    assert collect_garbage(settings).files == 0
    (found,) = ok(worker.client.get(f"/api/v1/jobs/{worker.job_id}/networks"))["items"]
    assert worker.client.get(f"/api/v1/networks/{found['id']}/weights").content == b"wanted"


def test_what_nothing_refers_to_goes_when_it_is_old(
    worker: WorkerActor, settings: Settings, age: Age, files: Artifacts, store: Store
) -> None:
    attempt = begin(worker)
    for content in (b"old", b"young"):
        ok(worker.upload(attempt, content))
    ok(worker.end(attempt, "failed"))
    age(sha256(b"old"))
    wanted = GarbageReport(is_dry_run=True, files=1, bytes=3)
    assert collect_garbage(settings, is_dry_run=True) == wanted
    assert files.has(sha256(b"old"))
    assert collect_garbage(settings) == GarbageReport(is_dry_run=False, files=1, bytes=3)
    assert collect_garbage(settings) == GarbageReport(is_dry_run=False)
    assert not files.has(sha256(b"old"))
    assert files.has(sha256(b"young"))


def test_what_a_running_trial_handed_in_stays_however_long_it_runs(
    worker: WorkerActor, settings: Settings
) -> None:
    attempt = begin(worker)
    ok(worker.upload(attempt, b"early"))
    eager = settings.model_copy(update={"artifact_grace_hours": 0})
    assert collect_garbage(eager).files == 0
    ok(worker.end(attempt, networks=[network(b"early")]))


def test_handing_a_known_file_in_again_makes_it_new(
    worker: WorkerActor, settings: Settings, age: Age
) -> None:
    first = begin(worker)
    ok(worker.upload(first, b"same"))
    ok(worker.end(first, "failed"))
    age(sha256(b"same"))
    second = worker.begin(1)
    assert worker.upload(second, b"same").status_code == 200
    assert collect_garbage(settings).files == 0
    ok(worker.end(second, networks=[network(b"same")]))


def test_strays_go_and_what_is_being_written_stays(
    worker: WorkerActor, settings: Settings, files: Artifacts
) -> None:
    root = settings.data_dir / "artifacts"
    stray = stored_at(settings, sha256(b"stray"))
    for path in (stray, root / "unfinished" / "old-1", root / "unfinished" / "young-1"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    (root / "of-somebody-else").write_bytes(b"x")
    make_old(root / "of-somebody-else")
    make_old(stray)
    make_old(root / "unfinished" / "old-1")
    wanted = GarbageReport(is_dry_run=True, strays=2, stray_bytes=10)
    assert collect_garbage(settings, is_dry_run=True) == wanted
    assert stray.exists()
    assert collect_garbage(settings).strays == 2
    assert not stray.exists()
    assert sorted(p.name for p in root.rglob("*") if p.is_file()) == ["of-somebody-else", "young-1"]


def test_a_file_that_vanished_is_forgotten_and_can_be_handed_in_again(
    worker: WorkerActor, settings: Settings, age: Age
) -> None:
    attempt = begin(worker)
    ok(worker.upload(attempt, b"gone"))
    ok(worker.end(attempt, "failed"))
    age(sha256(b"gone"))
    stored_at(settings, sha256(b"gone")).unlink()
    assert collect_garbage(settings).files == 1
    assert worker.upload(worker.begin(1), b"gone").status_code == 201


def test_a_file_that_is_referred_to_in_this_moment_stays(
    worker: WorkerActor, settings: Settings, store: Store, age: Age, database_url: str
) -> None:
    attempt = begin(worker)
    ok(worker.upload(attempt, b"x"))
    digest = sha256(b"x")
    ok(worker.end(attempt, networks=[network(b"x")]))
    age(digest)
    with store.writing() as tx:
        assert not retention.drop_unreferenced(tx, digest, grace_seconds=0)
    with store.reading() as tx:
        assert networks.has_file(tx, digest)


@pytest.mark.parametrize("is_known", [True, False])
def test_an_upload_of_what_is_being_collected_is_kept_whole(
    worker: WorkerActor, settings: Settings, age: Age, files: Artifacts, store: Store,
    is_known: bool,
) -> None:  # fmt: skip
    """The collector has dropped the row and stands before deleting the file; an upload comes."""
    digest = sha256(b"contended")
    attempt = begin(worker)
    if is_known:
        ok(worker.upload(attempt, b"contended"))
        ok(worker.end(attempt, "failed"))
        age(digest)
        attempt = None
    else:
        path = stored_at(settings, digest)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"contended")
    uploader = worker.begin(1)
    with ThreadPoolExecutor(1) as pool:
        with store.writing() as tx:
            if is_known:
                assert retention.drop_unreferenced(tx, digest, grace_seconds=3600)
            else:
                assert retention.hold_unknown(tx, digest)
            answer = pool.submit(worker.upload, uploader, b"contended")
            # Long enough for it to look for the row and for the file, and to wait for this end.
            threading.Event().wait(0.5)
            files.delete(digest)
            if not is_known:
                retention.let_go(tx, digest)
        assert ok(answer.result(20))["sha256"] == digest
    with store.reading() as tx:
        assert networks.has_file(tx, digest)
    with files.open(digest) as found:
        assert found.file.read() == b"contended"


@pytest.mark.slow
def test_uploads_and_collectors_at_once_lose_nothing(
    worker: WorkerActor, settings: Settings, files: Artifacts, store: Store
) -> None:
    """Every file that an upload was answered for is there, row and content, whoever collects."""
    attempt = begin(worker)
    eager = settings.model_copy(update={"artifact_grace_hours": 0})
    contents = [f"content-{n % 4}".encode() for n in range(60)]
    is_over = threading.Event()

    def collect() -> None:
        # Before each round all look old, and as if no attempt ran that could have brought them.
        while not is_over.wait(0.02):
            with store.writing() as tx:
                old = update(artifact_rows).values(created_at=now(plus_seconds=-OLD))
                tx.connection.execute(old)
            collect_garbage(eager)

    def upload(content: bytes) -> None:
        ok(worker.upload(attempt, content))

    with ThreadPoolExecutor(6) as pool:
        collectors = [pool.submit(collect)]
        try:
            list(pool.map(upload, contents))
        finally:
            is_over.set()
        for collector in collectors:
            collector.result()
    with store.reading() as tx:
        known = [c for c in set(contents) if networks.has_file(tx, sha256(c))]
    for content in known:
        with files.open(sha256(content)) as found:
            assert found.file.read() == content
    for content in set(contents):
        ok(worker.upload(attempt, content))
        with files.open(sha256(content)) as found:
            assert found.file.read() == content


def test_old_events_go_but_the_newest_stays(
    worker: WorkerActor, settings: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.garbage.EVENTS_AT_ONCE", 2)
    for _ in range(7):
        worker.submit()
    with store.writing() as tx:
        is_old = event_rows.c.id <= 5
        tx.connection.execute(
            update(event_rows).where(is_old).values(at=now(plus_seconds=-31 * 86_400))
        )
    assert collect_garbage(settings, is_dry_run=True).events == 5
    assert collect_garbage(settings).events == 5
    with store.reading() as tx:
        assert [event.id for event in events.read_events(tx, after=0)] == [6, 7]
    assert collect_garbage(settings.model_copy(update={"event_days": 0})).events == 1
    with store.reading() as tx:
        assert events.latest_event_id(tx) == 7


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    def run(*options: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "shrinknets", "gc", "--data-dir", str(tmp_path), *options],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.mark.slow
def test_the_command_tells_what_it_did(
    run: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    refused = run()
    assert refused.returncode == 1
    assert "python -m service migrate" in refused.stderr
    subprocess.run(
        [sys.executable, "-m", "service", "migrate"],
        env={**os.environ, "SHRINKNETS_DATA_DIR": str(tmp_path)},
        check=True,
    )
    dry = run("--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    assert json.loads(dry.stdout) == {
        "is_dry_run": True,
        **dict.fromkeys(("files", "bytes", "strays", "stray_bytes", "events", "workers"), 0),
    }
    assert run().stdout.startswith("deleted 0 files that nothing refers to (0 bytes), ")
