"""A real service process to be measured: what it needs of processor and memory."""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Served:
    """A running service."""

    url: str
    database_url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        return float(self.process.memory_info().rss) / 2**20


@contextmanager
def serving(folder: Path, database_url: str) -> Iterator[Served]:
    """`python -m service` on a free port, ended with the block."""
    chosen = {
        "DATA_DIR": str(folder),
        "DATABASE_URL": database_url,
        "PORT": "0",
        "MIGRATE_ON_START": "true",
        "JOB_LEASE_SECONDS": "600",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "service"],
        env={**os.environ, **{f"SHRINKNETS_{name}": value for name, value in chosen.items()}},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1]
        yield Served(url, database_url, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.communicate()


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of all lies."""
    return statistics.quantiles(values, n=1000)[round(share * 1000) - 1]
