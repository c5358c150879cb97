"""A real `shrinknets serve` for all tests of the client, and one finished job in it."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from shrinknets import Client, Job

SMALL = {"epochs": 6, "batch_size": 128, "lr": 3e-3}


class Served:
    """`shrinknets serve` on a free port with a data folder of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        log = (folder / "serve.log").open("a")
        with log:
            self.process = psutil.Popen(
                [
                    *(sys.executable, "-m", "shrinknets", "serve", "--port", "0"),
                    *("--data-dir", str(folder), *options),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={
                    **os.environ,
                    "SHRINKNETS_JOB_LEASE_SECONDS": "3",
                    "SHRINKNETS_CACHE_DIR": str(folder / "cache"),
                },
                # A suite that a shell runs in the background ignores SIGINT, and so would this.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
            )
        line = self.process.stdout.readline()
        assert line.startswith("ShrinkNets is at http://127.0.0.1:"), self.log
        self.url = line.split()[-1]

    @property
    def log(self) -> str:
        return (self.folder / "serve.log").read_text()

    def family(self) -> list[psutil.Process]:
        """This process and all below it."""
        return [self.process, *self.process.children(recursive=True)]

    def kill(self) -> None:
        """Kill this process if it still runs; those below it die with it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        self.process.terminate()
        status: int = self.process.wait(60)
        self.process.stdout.close()
        return status


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    assert served.stop() == 0


@pytest.fixture
def start_serving(tmp_path: Path) -> Iterator[Callable[[], Served]]:
    """Start `shrinknets serve` on the test's own folder; none outlives the test."""
    started = []

    def start() -> Served:
        started.append(Served(tmp_path))
        return started[-1]

    yield start
    for served in started:
        served.kill()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.url) as client:
        yield client


@pytest.fixture(scope="session")
def queue_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service without a worker, in which jobs wait."""
    served = Served(tmp_path_factory.mktemp("queue"), "--no-worker")
    yield served.url
    assert served.stop() == 0


@pytest.fixture
def queue(queue_url: str) -> Iterator[Client]:
    with Client(queue_url) as client:
        yield client


@pytest.fixture(scope="session")
def finished_job(served: Served) -> Iterator[Job]:
    """Make a job of all methods that has ended."""
    with Client(served.url) as client:
        job = client.submit(
            dataset="digits",
            methods=["shrinknets", "fixed", "fixed_l2", "path"],
            widths=[60],
            trials=2,
            training=SMALL,
            name="small",
        )
        yield job.wait(progress=False, timeout_seconds=120)


@pytest.fixture
def run_cli(served: Served) -> Callable[..., str]:
    """Run `shrinknets` on the service; gives what it printed, or wrote to stderr if it failed."""

    def run(*arguments: str, status: int = 0) -> str:
        answer = subprocess.run(
            [sys.executable, "-m", "shrinknets", *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={**os.environ, "COLUMNS": "160", "SHRINKNETS_URL": served.url},
        )
        assert answer.returncode == status, answer.stderr
        return answer.stdout if status == 0 else answer.stderr

    return run
