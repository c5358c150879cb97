"""The service on both databases, each test with an empty one."""

import shutil
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import uvicorn

from service import Settings, create_app, read_settings, upgrade_to_head
from service.server import _listen, _Server
from service.store import Store
from service.store.tables import metadata
from tests.postgres import PostgresServer
from tests.service.actors import WorkerActor

with warnings.catch_warnings():
    # Starlette would rather have httpx2; our client speaks through httpx, so the tests do too.
    warnings.filterwarnings("ignore", message="Using `httpx`")
    from fastapi.testclient import TestClient

DIALECTS = ("sqlite", "postgresql")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"SHRINKNETS_{name.upper()}", raising=False)
    monkeypatch.delenv("SHRINKNETS_CONFIG", raising=False)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade_to_head(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres_url(postgres: PostgresServer) -> str:
    url = postgres.create("migrated")
    upgrade_to_head(url)
    return url


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def empty_database_url(
    dialect: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[str]:
    """A database without any table."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"empty-{uuid4().hex[:8]}"
    yield server.create(name)
    server.drop(name)


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database at the newest schema."""
    if dialect == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "test.db")
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    url: str = request.getfixturevalue("migrated_postgres_url")
    yield url
    # Emptied, because a database of its own for each test takes ten times as long.
    kept = {"datasets", "artifacts"}
    tables = ", ".join(table.name for table in metadata.sorted_tables if table.name not in kept)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET lock_timeout = '5s'")
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY")
        # Those that every worker has were put there by a migration.
        connection.execute("DELETE FROM datasets WHERE source <> 'built_in'")
        connection.execute("DELETE FROM artifacts")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return read_settings(
        data_dir=tmp_path,
        database_url=database_url,
        port=0,
        allowed_hosts=("testserver",),
        # Of a machine on which several tests run at once.
        ready_seconds=30.0,
    )


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    with Store(database_url) as store:
        yield store


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def worker(client: TestClient) -> WorkerActor:
    return WorkerActor(client)


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """The service on a real port, in a thread; yields its URL."""
    app = create_app(settings)
    with _listen(settings.host, 0) as listener:
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = _Server(config, app.state.services.bell, url)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield url
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def live_url(settings: Settings) -> Iterator[str]:
    with served(settings) as url:
        yield url


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    def wait(is_so: Callable[[], bool], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    return wait
