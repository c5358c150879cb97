"""`python -m service` as a process, with settings of its own and its log at hand."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx


class ServiceProcess:
    """A real server on a free port; ends with the block."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._log = folder / "service.log"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SHRINKNETS_")}
        chosen = {"DATA_DIR": str(folder), "PORT": "0", **settings}
        with self._log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "service"],
                env=environment | {f"SHRINKNETS_{k}": v for k, v in chosen.items()},
                stdout=log,
                stderr=log,
            )
        self.url = self._announced()

    @property
    def log(self) -> str:
        return self._log.read_text()

    def _announced(self) -> str:
        deadline = time.monotonic() + 60
        while not (found := re.findall(r"ShrinkNets is at (\S+)", self.log)):
            assert self.popen.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return str(found[-1])

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)

    def __enter__(self) -> "ServiceProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.wait()
