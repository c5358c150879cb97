"""Fetched data sets are whole, shared, verified, and go when there is no room."""

import hashlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from shrinknets.wire import DatasetFile
from worker.errors import DamagedFileError
from worker.trial.dataset_cache import ABANDONED_SECONDS, DatasetCache


class Source:
    """A service with files, which counts how often it was asked."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked = 0
        self.wanted = DatasetFile(
            sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
        )

    def fetch(self, target: IO[bytes]) -> None:
        self.asked += 1
        time.sleep(0.05)
        target.write(self.content)


def read(source: Source, folder: Path, **options: int) -> bytes:
    with DatasetCache(folder, fetch=source.fetch, **options).open(source.wanted) as file:
        return file.read()


def cached(folder: Path) -> list[Path]:
    return sorted((folder / "datasets").glob("*.npz"))


def test_a_file_is_fetched_once(tmp_path: Path) -> None:
    source = Source(b"rows")
    assert [read(source, tmp_path) for _ in range(3)] == [b"rows"] * 3
    assert source.asked == 1


def test_trials_that_start_together_fetch_once(tmp_path: Path) -> None:
    source, together = Source(b"rows"), threading.Barrier(4)

    def one(_: int) -> bytes:
        together.wait()
        return read(source, tmp_path)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [b"rows"] * 4
    assert source.asked == 1


def test_a_file_that_changed_on_disk_is_fetched_anew(tmp_path: Path) -> None:
    source = Source(b"rows")
    read(source, tmp_path)
    cached(tmp_path)[0].write_bytes(b"rot")
    assert read(source, tmp_path) == b"rows"
    assert source.asked == 2


def test_a_file_that_comes_damaged_is_no_file(tmp_path: Path) -> None:
    source = Source(b"rows")
    source.content = b"other rows"
    with pytest.raises(DamagedFileError, match=source.wanted.sha256):
        read(source, tmp_path)
    assert cached(tmp_path) == []
    assert list((tmp_path / "datasets").glob("*.part")) == []


def test_what_was_used_least_lately_makes_room(tmp_path: Path) -> None:
    sources = [Source(bytes([number]) * 100) for number in range(3)]
    for age, source in zip((30, 20, 10), sources, strict=True):
        read(source, tmp_path, max_bytes=250)
        path = tmp_path / "datasets" / f"{source.wanted.sha256}.npz"
        os.utime(path, (time.time() - age,) * 2)
    names = {path.stem for path in cached(tmp_path)}
    assert names == {source.wanted.sha256 for source in sources[1:]}


def test_a_file_can_be_read_although_it_goes(tmp_path: Path) -> None:
    source = Source(b"rows")
    with DatasetCache(tmp_path, fetch=source.fetch).open(source.wanted) as file:
        cached(tmp_path)[0].unlink()
        assert file.read() == b"rows"


def test_what_killed_processes_left_goes(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    old, young = (tmp_path / "datasets" / f"{name}.part" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - ABANDONED_SECONDS - 1,) * 2)
    read(Source(b"rows"), tmp_path)
    assert (old.exists(), young.exists()) == (False, True)
