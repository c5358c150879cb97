"""What trials write reaches the service, however their processes end."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shrinknets.wire import (
    AttemptState,
    ClaimRequest,
    FixedSearch,
    JobSpec,
    Method,
    Methods,
    Trial,
    TrialLog,
    TrialRequest,
    TrialState,
)
from tests.worker.real_processes import RealService, wait_for
from worker.attempts import Attempts
from worker.engines import LocalEngine, stop_all
from worker.leases import JobLease
from worker.patience import Patience
from worker.service_client import ServiceClient

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")]

PROGRAMS = Path(__file__).parent / "programs"
MIB = 2**20


@pytest.fixture
def real_service(tmp_path: Path) -> Iterator[RealService]:
    service = RealService(tmp_path, attempt_lease_seconds=20.0)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def lease(real_service: RealService, make_spec: Callable[..., JobSpec]) -> Iterator[JobLease]:
    real_service.submit(make_spec(methods=Methods(fixed=FixedSearch(trials=2))))
    with ServiceClient(real_service.url, patience=Patience(seconds=120)) as client:
        claim = client.claim(ClaimRequest(worker="tester"))
        assert claim is not None
        lease = JobLease(client, claim)
        done = threading.Event()
        renewing = threading.Thread(target=keep_renewing, args=(lease, done))
        renewing.start()
        yield lease
        done.set()
        renewing.join()


def keep_renewing(lease: JobLease, done: threading.Event) -> None:
    while not done.wait(0.3):
        lease.renew()


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEngine]:
    monkeypatch.setenv("PYTHONPATH", f"{PROGRAMS}:{Path(__file__).parents[2]}")
    engine = LocalEngine(folder=tmp_path, threads=1, module="noisy")
    yield engine
    engine.close()


@pytest.fixture
def attempts(lease: JobLease, engine: LocalEngine, tmp_path: Path) -> Iterator[Attempts]:
    attempts = Attempts(lease, engine=engine, slots=2, cache=tmp_path / "cache")
    yield attempts
    stop_all(engine, grace_seconds=0)
    attempts.close()


def start(lease: JobLease, attempts: Attempts, behaviour: str, number: int = 0) -> Trial:
    params = {"depth": 1, "width_0": 8, "behaviour": behaviour}
    trial = lease.announce(TrialRequest(method=Method.FIXED, number=number, params=params, seed=1))
    attempts.add(trial)
    assert attempts.start_waiting() == []
    return trial


def wait_until_ended(attempts: Attempts) -> Trial:
    def work() -> list[Trial]:
        return attempts.wait(0.2) + attempts.start_waiting()

    (ended,) = wait_for(work, seconds=120)
    return ended


def read(service: RealService, trial: Trial, query: str = "") -> TrialLog:
    answer = service.http.get(f"/trials/{trial.id}/logs{query}").raise_for_status()
    return TrialLog.model_validate_json(answer.content)


def wait_for_log(service: RealService, trial: Trial, text: str) -> str:
    def look() -> str | None:
        log = read(service, trial).as_text()
        return log if text in log else None

    return wait_for(look, seconds=120)


def test_what_a_trial_prints_and_is_warned_of_is_kept_without_secrets(
    real_service: RealService, lease: JobLease, attempts: Attempts, tmp_path: Path
) -> None:
    trial = start(lease, attempts, "chat")
    token = next(iter(attempts._running.values())).attempt.token
    ended = wait_until_ended(attempts)
    assert ended.state is TrialState.COMPLETE
    attempts.close()
    log = read(real_service, trial).as_text()
    assert "fixed 0 of digits: " in log
    assert "hello from stdout\n" in log
    assert "UserWarning: beware of the dog\n" in log
    assert "\n and 100 %\n" in log
    assert "no utf-8: \ufffd, a NUL: \ufffd, and a key sn_***\n" in log
    assert "the token is ***\n" in log
    assert token not in log
    assert "network 8: " in log
    assert log.endswith("complete\n")
    assert not list(tmp_path.glob("attempt-*.log"))
    text = real_service.http.get(f"/trials/{trial.id}/logs.txt?tail=1")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text.endswith("complete\n")
    assert text.text.count("\n") == 1


def test_a_traceback_is_in_the_log(
    real_service: RealService, lease: JobLease, attempts: Attempts
) -> None:
    trial = start(lease, attempts, "raise")
    assert wait_until_ended(attempts).state is TrialState.FAILED
    log = wait_for_log(real_service, trial, "RuntimeError: broke on purpose")
    assert "about to break\n" in log
    assert "Traceback (most recent call last):" in log


def test_the_last_lines_of_a_killed_trial_are_there_and_how_it_ended(
    real_service: RealService, lease: JobLease, attempts: Attempts, engine: LocalEngine
) -> None:
    trial = start(lease, attempts, "hang")
    wait_for_log(real_service, trial, "these are the last words")
    place = read(real_service, trial).next
    (attempt_id,) = engine.running()
    engine.stop(attempt_id, force=True)
    wait_for(lambda: attempts.wait(0.2) or not engine.running(), seconds=120)
    wait_for_log(real_service, trial, "[its process was killed by SIGKILL")
    news = read(real_service, trial, f"?after={place}")
    assert news.as_text().startswith("[its process was killed by SIGKILL")
    assert news.attempts[0].state is AttemptState.LOST


def test_a_crash_in_c_leaves_a_traceback(
    real_service: RealService, lease: JobLease, attempts: Attempts
) -> None:
    trial = start(lease, attempts, "segfault")
    wait_until_ended(attempts)
    log = wait_for_log(real_service, trial, signal.Signals.SIGSEGV.name)
    assert "Fatal Python error: Segmentation fault" in log
    assert "string_at" in log


def test_of_a_flood_the_beginning_and_the_end_are_kept(
    real_service: RealService, lease: JobLease, attempts: Attempts
) -> None:
    trial = start(lease, attempts, "flood")
    assert wait_until_ended(attempts).state is TrialState.COMPLETE
    attempts.close()
    log = read(real_service, trial)
    text = log.as_text()
    assert "the first line\n" in text
    assert "bytes left out …]" in text
    assert text.endswith("complete\n")
    assert log.omitted_bytes > 9 * MIB
    assert MIB / 2 < len(text) < 1.2 * MIB
    assert abs(log.next - log.omitted_bytes - len(text)) < 1000


def test_nothing_is_lost_while_the_service_is_away(
    real_service: RealService, lease: JobLease, attempts: Attempts
) -> None:
    trial = start(lease, attempts, "hang")
    real_service.kill()
    time.sleep(3)
    real_service.start()
    log = wait_for_log(real_service, trial, "these are the last words")
    assert log.count("these are the last words") == 1


def test_a_second_attempt_has_a_log_of_its_own(
    real_service: RealService, lease: JobLease, attempts: Attempts, engine: LocalEngine
) -> None:
    trial = start(lease, attempts, "hang")
    wait_for_log(real_service, trial, "last words")
    assert engine._server is not None
    engine._server.kill()

    def work() -> bool:
        attempts.wait(0.2)
        attempts.start_waiting()
        return len(read(real_service, trial).attempts) == 2

    wait_for(work, seconds=120)
    wait_for_log(real_service, trial, "[attempt 2, ")
    first, second = read(real_service, trial).attempts
    assert "last words\n[the process that starts trials ended]\n" in first.text
    assert (first.number, second.number) == (1, 2)
