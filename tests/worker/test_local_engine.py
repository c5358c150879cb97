"""The local engine, with real processes."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.worker.real_processes import all_gone
from worker.engines import AttemptExit, LocalEngine, stop_all

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def shared_engine(folder: Path) -> Iterator[LocalEngine]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
        engine = LocalEngine(folder=folder, threads=2, module="stand_in")
        yield engine
        engine.close()


@pytest.fixture
def engine(shared_engine: LocalEngine) -> Iterator[LocalEngine]:
    """Its forkserver is shared by all tests, since it takes seconds to start."""
    yield shared_engine
    stop_all(shared_engine, grace_seconds=0)


def start(engine: LocalEngine, attempt_id: str, behaviour: str) -> None:
    engine.start(attempt_id, {"BEHAVIOUR": behaviour})


def next_exit(engine: LocalEngine) -> AttemptExit:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for gone in engine.wait(1):
            return gone
    raise AssertionError("no attempt ended")


def forkservers() -> list[psutil.Process]:
    """The forkservers of this process, which may have other children: a database, a browser."""
    module = "worker.engines.forkserver"
    return [child for child in psutil.Process().children() if module in child.cmdline()]


def wait_for_children(number: int) -> list[psutil.Process]:
    """Wait until the forkserver has this many children."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = [child for server in forkservers() for child in server.children()]
        if len(children) == number:
            return children
        time.sleep(0.02)
    raise AssertionError(f"never {number} children")


def wait_for_log(folder: Path, attempt_id: str, text: str) -> None:
    log = folder / f"{attempt_id}.log"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if log.exists() and text in log.read_text():
            return
        time.sleep(0.02)
    raise AssertionError(f"{text} never in {log}")


def test_an_attempt_that_ends_well_is_told_with_exit_code_0(engine: LocalEngine) -> None:
    start(engine, "a", "return")
    gone = next_exit(engine)
    assert (gone.attempt_id, gone.exit_code) == ("a", 0)
    assert engine.running() == frozenset()


def test_an_exit_code_is_told_in_words(engine: LocalEngine) -> None:
    start(engine, "a", "exit 7")
    assert next_exit(engine).reason == "its process ended with exit code 7"


def test_a_crash_is_told_with_its_signal(engine: LocalEngine) -> None:
    start(engine, "a", "segfault")
    gone = next_exit(engine)
    assert gone.exit_code == -signal.SIGSEGV
    assert gone.reason == "its process was killed by SIGSEGV"


def test_a_traceback_is_told_with_its_last_lines(engine: LocalEngine) -> None:
    start(engine, "a", "raise")
    gone = next_exit(engine)
    assert gone.exit_code == 1
    assert gone.last_lines.endswith("RuntimeError: the stand-in broke")


def test_a_child_leads_its_own_group_and_computes_with_its_threads(engine: LocalEngine) -> None:
    start(engine, "compute", "compute")
    gone = next_exit(engine)
    assert (gone.exit_code, gone.last_lines) == (5, "2 True")


def test_sigterm_ends_an_attempt_at_once(engine: LocalEngine) -> None:
    start(engine, "a", "sleep")
    wait_for_children(1)
    started = time.monotonic()
    engine.stop("a")
    assert next_exit(engine).exit_code == -signal.SIGTERM
    assert time.monotonic() - started < 10


def test_an_attempt_that_ignores_sigterm_is_killed_after_the_grace(
    engine: LocalEngine, folder: Path
) -> None:
    start(engine, "deaf", "ignore SIGTERM")
    start(engine, "polite", "sleep")
    wait_for_log(folder, "deaf", "deaf")
    children = wait_for_children(2)
    started = time.monotonic()
    stop_all(engine, grace_seconds=0.3)
    assert 0.3 < time.monotonic() - started < 10
    assert engine.running() == frozenset()
    assert not any(child.is_running() for child in children)


def test_what_an_attempt_started_goes_with_it(engine: LocalEngine) -> None:
    start(engine, "a", "leave a child")
    assert next_exit(engine).exit_code == 0
    deadline = time.monotonic() + 2
    while any("sleep" in process.name() for process in psutil.process_iter() if is_ours(process)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_ours(process: psutil.Process) -> bool:
    try:
        return process.cmdline() == ["sleep", "60"] and "BEHAVIOUR" in process.environ()
    except psutil.Error:
        return False


def test_no_zombie_is_left(engine: LocalEngine) -> None:
    for number in range(5):
        start(engine, f"a{number}", "return")
    for _ in range(5):
        if not engine.running():
            break
        next_exit(engine)
    statuses = [child.status() for server in forkservers() for child in server.children()]
    assert psutil.STATUS_ZOMBIE not in statuses


def test_attempts_of_a_killed_forkserver_are_told_and_a_new_one_takes_over(
    engine: LocalEngine,
) -> None:
    start(engine, "a", "sleep")
    (child,) = wait_for_children(1)
    (server,) = forkservers()
    server.kill()
    gone = next_exit(engine)
    assert gone.exit_code is None
    assert gone.reason == "the process that starts trials ended"
    assert all_gone([child])
    start(engine, "b", "return")
    assert next_exit(engine).exit_code == 0


def test_an_import_error_of_the_forkserver_is_quoted(tmp_path: Path) -> None:
    engine = LocalEngine(folder=tmp_path, threads=1, module="no_such_module")
    engine.start("a", {})
    gone = next_exit(engine)
    assert "No module named 'no_such_module'" in gone.last_lines
    engine.close()


def test_closing_leaves_no_process(engine: LocalEngine) -> None:
    start(engine, "a", "sleep")
    processes = [*wait_for_children(1), *forkservers()]
    engine.close()
    assert all_gone(processes)


def test_killing_the_owner_leaves_neither_forkserver_nor_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROGRAMS))
    code = (
        "import pathlib, sys, time; from worker.engines import LocalEngine\n"
        "engine = LocalEngine(folder=pathlib.Path(sys.argv[1]), threads=1, module='stand_in')\n"
        "engine.start('a', {'BEHAVIOUR': 'ignore SIGTERM'}); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    wait_for_log(tmp_path, "a", "deaf")
    processes = psutil.Process(owner.pid).children(recursive=True)
    assert len(processes) == 2
    owner.kill()
    owner.wait()
    assert all_gone(processes)
