"""The engine for Ray with a real cluster, and commands that start without torch."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.worker.ray_cluster import TOKEN, RayCluster
from tests.worker.real_processes import all_gone, wait_for
from worker.engines import AttemptExit, RayEngine, RayJobs, RayOptions
from worker.engines.ray_jobs import RayJob
from worker.errors import RayNotAllowedError

pytest.importorskip("ray", reason="needs the extra [ray]")
pytestmark = pytest.mark.slow

SERVICE = "http://127.0.0.1:1"
StartEngine = Callable[..., RayEngine]


class ForgetfulJobs(RayJobs):
    """As after a restart of the head, which comes back empty."""

    forgets = threading.Event()

    def list(self) -> dict[str, RayJob]:
        return {} if self.forgets.is_set() else super().list()


@pytest.fixture
def held() -> set[str]:
    """The attempts whose lease the service would say is held."""
    return set()


@pytest.fixture
def start_engine(ray_cluster: RayCluster, tmp_path: Path, held: set[str]) -> Iterator[StartEngine]:
    engines = []

    def start(*, token: str = TOKEN, jobs: type[RayJobs] = RayJobs, **options: object) -> RayEngine:
        defaults = {"module": "light", "python": sys.executable, "gpus": 0.5, "poll_seconds": 0.2}
        engines.append(
            RayEngine(
                jobs(ray_cluster.address, token=token),
                folder=tmp_path,
                service_url=SERVICE,
                is_held=lambda attempt_id, token: attempt_id in held and token == "secret-token",
                options=RayOptions(**{**defaults, **options}),
            )
        )
        return engines[-1]

    yield start
    for engine in engines:
        engine.close()


def run(engine: RayEngine, attempt_id: str, behaviour: str) -> None:
    variables = {
        "BEHAVIOUR": behaviour,
        "SHRINKNETS_URL": SERVICE,
        "SHRINKNETS_ATTEMPT": attempt_id,
        "SHRINKNETS_TOKEN": "secret-token",
        "SHRINKNETS_CACHE_DIR": "/a/folder/of/the/worker",
    }
    engine.start(attempt_id, variables)


def next_exits(engine: RayEngine, number: int, *, seconds: float = 90) -> dict[str, AttemptExit]:
    exits: dict[str, AttemptExit] = {}
    deadline = time.monotonic() + seconds
    while len(exits) < number:
        assert time.monotonic() < deadline, exits
        exits |= {gone.attempt_id: gone for gone in engine.wait(1)}
    return exits


def wait_for_words(engine: RayEngine, attempt_id: str, word: str) -> list[str]:
    """The line of an attempt's log that begins with the word, once it is there."""
    log = engine.output_of(attempt_id)

    def look() -> list[str] | None:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        return next((line.split() for line in lines if line.startswith(word)), None)

    return wait_for(look, seconds=90)


def process_of(engine: RayEngine, attempt_id: str) -> psutil.Process:
    return psutil.Process(int(wait_for_words(engine, attempt_id, "asleep")[1]))


def all_jobs(cluster: RayCluster) -> set[str]:
    """Also those that Ray knows no more of than their id."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.get(f"{cluster.address}/api/jobs/", headers=headers, timeout=20)
    return {job["submission_id"] for job in answer.raise_for_status().json()}


def test_ends_are_told_with_exit_codes_signals_and_last_lines(
    start_engine: StartEngine, held: set[str]
) -> None:
    held |= {"ends-7", "ends-11"}
    engine = start_engine()
    run(engine, "ends-7", "exit 7")
    run(engine, "ends-11", "segfault")
    assert engine.running() == {"ends-7", "ends-11"}
    exits = next_exits(engine, 2)
    assert exits["ends-7"].exit_code == 7
    assert exits["ends-7"].reason == "its process ended with exit code 7"
    assert exits["ends-7"].last_lines.endswith("seven it is")
    assert exits["ends-11"].exit_code == -11
    assert exits["ends-11"].reason == "its process was killed by SIGSEGV"
    assert engine.running() == frozenset()


def test_shares_of_a_card_are_given_and_logs_come_while_the_process_runs(
    start_engine: StartEngine, held: set[str], ray_cluster: RayCluster, tmp_path: Path
) -> None:
    names = [f"share-{number}" for number in range(4)]
    held |= set(names)
    engine = start_engine(gpus=0.5, resources={"head": 1}, working_dir=str(tmp_path))
    for name in names:
        run(engine, name, "look around")
    lines = [wait_for_words(engine, name, "card") for name in names]
    assert sorted(line[1] for line in lines) == ["0", "0", "1", "1"]
    assert {line[3] for line in lines} == {str(tmp_path)}
    assert {wait_for_words(engine, name, "token")[1] for name in names} == {"secret-token"}
    exits = next_exits(engine, 4)
    assert {gone.exit_code for gone in exits.values()} == {0}
    log = engine.output_of(names[0]).read_bytes()
    assert b"no utf-8: \xff\n" in log
    assert log.endswith(b"later\n")
    # What the commands print apart, no log of Ray has the token.
    written = "\n".join(
        line for line in ray_cluster.logs().splitlines() if line != "token secret-token"
    )
    assert "share-0" in written
    assert "secret-token" not in written
    assert TOKEN not in written


def test_a_stop_ends_a_deaf_process_and_what_it_started_within_seconds(
    start_engine: StartEngine, held: set[str]
) -> None:
    held.add("deaf")
    engine = start_engine()
    run(engine, "deaf", "deaf")
    processes = [psutil.Process(int(pid)) for pid in wait_for_words(engine, "deaf", "deaf")[1:]]
    started = time.monotonic()
    engine.stop("deaf")
    gone = next_exits(engine, 1, seconds=30)["deaf"]
    assert gone.reason == "it was stopped"
    assert time.monotonic() - started < 15
    assert all_gone(processes)


def test_what_is_given_up_waiting_never_runs_and_its_place_is_taken_when_there_is_one(
    start_engine: StartEngine, held: set[str], ray_cluster: RayCluster, tmp_path: Path
) -> None:
    held |= {"first", "waits", "later"}
    engine = start_engine(gpus=2, resources={"head": 1}, pending_seconds=15)
    run(engine, "first", "sleep")
    wait_for_words(engine, "first", "asleep")
    assert engine.can_start()
    run(engine, "waits", str(tmp_path / "it ran"))
    gone = next_exits(engine, 1)["waits"]
    assert not gone.has_run
    assert gone.reason == ("the Ray cluster had no room for it (1 CPU, 2 GPU, 1 head) within 15 s")
    held.discard("waits")
    assert not engine.can_start()
    engine.stop("first")
    next_exits(engine, 1)
    wait_for(engine.can_start, seconds=60)
    run(engine, "later", "sleep")
    wait_for_words(engine, "later", "asleep")
    assert engine.running() == {"later"}
    assert not (tmp_path / "it ran").exists()
    # Ray has forgotten it, and does not write it anew.
    wait_for(lambda: not {"first", "waits"} & all_jobs(ray_cluster), seconds=90)
    time.sleep(3)
    assert not {"first", "waits"} & all_jobs(ray_cluster)


def test_what_another_engine_left_behind_is_stopped_once_its_lease_is_over(
    start_engine: StartEngine, held: set[str], ray_cluster: RayCluster, tmp_path: Path
) -> None:
    held |= {"left", "kept"}
    code = f"""if True:
        import pathlib, time
        from worker.engines import RayEngine, RayJobs, RayOptions
        engine = RayEngine(
            RayJobs({ray_cluster.address!r}, token={TOKEN!r}),
            folder=pathlib.Path({str(tmp_path)!r}),
            service_url={SERVICE!r},
            is_held=lambda *_: True,
            options=RayOptions(module="light", python={sys.executable!r}, gpus=0.5),
        )
        for name in ("left", "kept"):
            variables = {{"BEHAVIOUR": "sleep", "SHRINKNETS_TOKEN": "secret-token"}}
            engine.start(name, variables)
        time.sleep(600)
    """
    owner = subprocess.Popen([sys.executable, "-c", code])
    engine = start_engine()
    try:
        left, kept = (process_of(engine, name) for name in ("left", "kept"))
    finally:
        # Nobody looks any more after what it started.
        owner.kill()
        owner.wait()
    assert left.is_running()
    held.discard("left")
    wait_for(lambda: not left.is_running(), seconds=90)
    assert kept.is_running()
    assert engine.running() == frozenset()
    engine.close()
    kept.kill()


def test_what_the_cluster_forgot_is_alive_while_its_lease_is_held(
    start_engine: StartEngine, held: set[str]
) -> None:
    held.add("forgotten")
    engine = start_engine(jobs=ForgetfulJobs)
    run(engine, "forgotten", "sleep")
    process = process_of(engine, "forgotten")
    ForgetfulJobs.forgets.set()
    time.sleep(4)
    assert engine.running() == {"forgotten"}
    held.discard("forgotten")
    gone = next_exits(engine, 1, seconds=20)["forgotten"]
    assert gone.exit_code is None
    assert gone.reason == "the Ray cluster does not know it any more, and its lease is over"
    # Once it is known again, it is nobody's.
    assert process.is_running()
    ForgetfulJobs.forgets.clear()
    wait_for(lambda: not process.is_running(), seconds=60)


def test_a_wrong_token_is_refused_with_what_to_do(start_engine: StartEngine) -> None:
    with pytest.raises(RayNotAllowedError, match=r"refuses the token: .*RAY_AUTH_TOKEN"):
        start_engine(token="wrong")


def test_only_the_loopback_device_is_there(loopback: None) -> None:
    devices = Path("/proc/thread-self/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
