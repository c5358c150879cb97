"""A real server takes large data sets in without holding them in memory."""

import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.service.actors import ok
from tests.service.arrays import array_bytes, with_header

pytestmark = pytest.mark.slow

ROWS, INPUTS = 4000, 2**16
"""256 MiB of uint8."""
GROWTH_BYTES = 64 * 2**20
HEADER = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({ROWS}, {INPUTS}), }}"


def write_npz(path: Path, *, packed: bool) -> None:
    block = np.random.default_rng(0).bytes(2**20) if not packed else bytes(2**20)
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as file:
        with file.open("x.npy", "w") as entry:
            entry.write(with_header(HEADER))
            for _ in range(ROWS * INPUTS // 2**20):
                entry.write(block)
        file.writestr("y.npy", array_bytes(np.arange(ROWS) % 10))


@contextmanager
def most_memory(process: psutil.Process) -> Iterator[list[int]]:
    """What the process has resident at the beginning, and at most until the end of the block."""
    seen = [process.memory_info().rss] * 2
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.01):
            seen[1] = max(seen[1], process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    yield seen
    ended.set()
    thread.join()


@pytest.mark.parametrize("packed", [False, True], ids=["random", "a-thousand-to-one"])
def test_memory_stays_flat_while_a_large_file_comes_in_and_goes_out(
    tmp_path: Path, *, packed: bool
) -> None:
    write_npz(tmp_path / "large.npz", packed=packed)
    size = (tmp_path / "large.npz").stat().st_size
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SHRINKNETS_")}
    settings = {"SHRINKNETS_DATA_DIR": str(tmp_path / "data"), "SHRINKNETS_PORT": "0"}
    server = psutil.Popen(
        [sys.executable, "-m", "service"],
        env=environment | settings,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url = server.stdout.readline().split()[-1]
        with httpx.Client(base_url=f"{url}/api/v1", timeout=120) as client:
            ok(client.get("/datasets"))
            with most_memory(server) as seen:
                with (tmp_path / "large.npz").open("rb") as file:
                    headers = {"Content-Type": "application/zip"}
                    found = ok(client.post("/datasets?name=large", content=file, headers=headers))
                with client.stream("GET", "/datasets/large/content") as answer:
                    received = sum(len(part) for part in answer.iter_bytes())
        assert found["class_counts"] == [ROWS // 10] * 10
        assert received == size
        assert seen[1] - seen[0] < GROWTH_BYTES, seen
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
