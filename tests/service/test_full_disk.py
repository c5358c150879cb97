"""A disk without room: files are refused with 507 and a reason, and all else goes on."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import Settings, create_app
from tests.service.actors import WorkerActor, ok, problem, record
from tests.service.conftest import TestClient

ROOM = 256 * 2**10

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(place)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"no small disk here: {done.stderr}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def worker(settings: Settings, small_disk: Path) -> Iterator[WorkerActor]:
    there = settings.model_copy(update={"artifacts_url": small_disk.as_uri()})
    with TestClient(create_app(there), raise_server_exceptions=False) as client:
        yield WorkerActor(client)


def test_a_file_without_room_is_refused_in_words_and_leaves_nothing(
    worker: WorkerActor, small_disk: Path
) -> None:
    worker.submit()
    worker.claim()
    attempt = worker.begin()
    refusal = problem(worker.upload(attempt, os.urandom(2 * ROOM)), 507)
    assert refusal["type"] == "urn:shrinknets:problem:storage-full"
    assert "No space left on device" in refusal["detail"]
    assert [path for path in small_disk.rglob("*") if path.is_file()] == []
    ok(worker.report(attempt, record(1)))
    ok(worker.upload(attempt, b"small enough"))
