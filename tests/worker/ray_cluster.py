"""A real Ray cluster of two nodes with cards that are only declared, on the loopback device."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import httpx
import psutil

from tests.worker.real_processes import find_free_port, is_gone, wait_for

TOKEN = "a-token-of-the-cluster-" + "t" * 40
CARDS = 2
"""On each node."""
ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "programs"
_ANY_NODE = (
    "--node-ip-address=127.0.0.1",
    "--object-store-memory=80000000",
    "--include-log-monitor=false",
)


class RayNode:
    """`ray start --block` and all below it."""

    def __init__(self, name: str, folder: Path, *options: str) -> None:
        home = folder / "home"
        home.mkdir(exist_ok=True)
        # Without it Ray asks a cloud's address for what kind of machine it is on.
        (home / "ray_bootstrap_config.yaml").write_text("{}\n")
        variables = {
            "HOME": str(home),
            "PYTHONPATH": f"{ROOT}:{PROGRAMS}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
        }
        resources = [f"--num-gpus={CARDS}", "--num-cpus=8", f'--resources={{"{name}": 100}}']
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *options]
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = psutil.Popen(
                [*command, *resources, *_ANY_NODE],
                env={**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def processes(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def kill(self) -> list[psutil.Process]:
        """End all its processes at once, as a power cut would; returns them."""
        processes = self.processes() if self._process.is_running() else []
        for signal_all in (psutil.Process.suspend, psutil.Process.kill):
            for process in processes:
                # Some come and go by themselves.
                with contextlib.suppress(psutil.NoSuchProcess):
                    signal_all(process)
        self._process.wait()
        return processes


class RayCluster:
    """A head and a second node, each of which can be killed and started again."""

    def __init__(self) -> None:
        # Short: it becomes part of the names of sockets.
        self._folder = Path(tempfile.mkdtemp(prefix="ray-"))
        self._dashboard_port = find_free_port()
        self._nodes: list[RayNode] = []

    def __enter__(self) -> Self:
        try:
            self.head = self._start_head()
            self.second = self.start_second()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self._nodes:
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._dashboard_port}"

    @property
    def python(self) -> str:
        """The interpreter of its nodes."""
        return sys.executable

    def logs(self) -> str:
        """All that Ray wrote to files, of both nodes."""
        files = (self._folder / "ray").glob("session_2*/logs/**/*")
        return "".join(file.read_text(errors="replace") for file in files if file.is_file())

    def restart_head(self) -> None:
        self.head = self._start_head()

    def start_second(self) -> RayNode:
        """A node that has joined."""
        num_alive = self._num_alive()
        self.second = self._start_node(
            "second",
            f"--address=127.0.0.1:{self._port}",
            "--dashboard-agent-listen-port=0",
        )
        wait_for(lambda: self._num_alive() > num_alive, seconds=120)
        return self.second

    def _start_head(self) -> RayNode:
        # Ray refuses the port of which another process of this machine, a node, still speaks.
        self._port = find_free_port()
        head = self._start_node(
            "head",
            "--head",
            f"--port={self._port}",
            f"--dashboard-port={self._dashboard_port}",
            "--dashboard-host=127.0.0.1",
            f"--temp-dir={self._folder / 'ray'}",
        )
        wait_for(lambda: self._answers(head), seconds=120)
        return head

    def _start_node(self, name: str, *options: str) -> RayNode:
        node = RayNode(name, self._folder, *options)
        self._nodes.append(node)
        return node

    def _answers(self, head: RayNode) -> bool:
        assert not is_gone(head.processes()[0]), head.log.read_text()
        return bool(self._get("/api/jobs/"))

    def _num_alive(self) -> int:
        answer = self._get("/api/v0/nodes?detail=false")
        if answer is None:
            return 0
        nodes = answer.json()["data"]["result"]["result"]
        return sum(node["state"] == "ALIVE" for node in nodes)

    def _get(self, path: str) -> httpx.Response | None:
        try:
            answer = httpx.get(
                self.address + path, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=20
            )
        except httpx.TransportError:
            return None
        return answer if answer.is_success else None
