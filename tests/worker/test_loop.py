"""An idle worker: it waits at the service, and stops at once when it is told to."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from shrinknets.wire import FixedSearch, JobSpec, JobState, Methods
from tests.worker.real_processes import RealService, RealWorker, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.alone]


def test_an_idle_worker_takes_a_job_at_once_and_stops_at_once(
    tmp_path: Path, make_spec: Callable[..., JobSpec]
) -> None:
    service = RealService(tmp_path)
    worker = RealWorker(service.url, tmp_path)
    try:
        wait_for(lambda: "for jobs" in worker.log, seconds=30)
        time.sleep(2)
        before = time.monotonic()
        job_id = service.submit(make_spec(methods=Methods(fixed=FixedSearch(trials=1))))
        wait_for(lambda: service.get_job(job_id).state is not JobState.QUEUED, seconds=10)
        assert time.monotonic() - before < 0.8
        service.wait_until_final(job_id)
        time.sleep(0.5)
        before = time.monotonic()
        worker.process.terminate()
        assert worker.process.wait(5) == 0
        assert time.monotonic() - before < 2
        assert "SIGTERM: stopping" in worker.log
        assert "Traceback" not in worker.log
        # Nobody waits any more, so a job stays in the queue for the next worker.
        job_id = service.submit(make_spec(methods=Methods(fixed=FixedSearch(trials=1))))
        time.sleep(0.5)
        assert service.get_job(job_id).state is JobState.QUEUED
    finally:
        worker.kill()
        service.kill()
        service.http.close()
