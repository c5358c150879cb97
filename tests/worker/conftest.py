"""Small factories that the worker's tests share."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shrinknets.wire import (
    FixedL2Search,
    FixedSearch,
    JobSpec,
    LogRange,
    Methods,
    NetworkBounds,
    PathRun,
    ShrinkNetsSearch,
    TrainingSpec,
    Trial,
    TrialRequest,
    TrialState,
)
from tests.worker.loopback import loopback_only
from tests.worker.ray_cluster import RayCluster
from tests.worker.real_processes import RealService, RealWorker
from tests.worker.small_service import SmallService


@pytest.fixture
def make_spec() -> Callable[..., JobSpec]:
    """A job with all four methods that trains next to nothing."""

    def make(**changes: Any) -> JobSpec:
        fields: dict[str, Any] = {
            "dataset": "digits",
            "network": NetworkBounds(widths=(16, 8)),
            "methods": Methods(
                shrinknets=ShrinkNetsSearch(trials=2, lam=LogRange(low=1e-3, high=1e-2)),
                path=PathRun(trials=1),
                fixed=FixedSearch(trials=2),
                fixed_l2=FixedL2Search(trials=2),
            ),
            "training": TrainingSpec(epochs=4, batch_size=256),
            "seed": 3,
        }
        return JobSpec(**{**fields, **changes})

    return make


@pytest.fixture
def make_trial() -> Callable[..., Trial]:
    """The trial that the service makes of a request."""

    def make(request: TrialRequest, **changes: Any) -> Trial:
        fields: dict[str, Any] = {
            "id": f"{request.method}-{request.number}",
            "job_id": "job",
            **request.model_dump(),
            "state": TrialState.COMPLETE,
            "reason": "",
            "epochs": 4,
            "train_seconds": 1.0,
            "validation_accuracy": 0.5,
            "widths": [8],
            "parameters": 100,
            "created_at": datetime.now(UTC),
            "started_at": None,
            "ended_at": None,
        }
        return Trial(**{**fields, **changes})

    return make


@pytest.fixture
def service() -> Iterator[SmallService]:
    service = SmallService()
    yield service
    service.stop()


@pytest.fixture(scope="module")
def loopback() -> Iterator[None]:
    """The tests of the module, and what they start, reach nothing beyond the loopback device."""
    with ExitStack() as inside:
        try:
            inside.enter_context(loopback_only())
        except OSError as error:
            pytest.skip(f"making a network namespace is not allowed here (root is): {error}")
        yield


@pytest.fixture(scope="module")
def ray_cluster(loopback: None) -> Iterator[RayCluster]:
    with RayCluster() as cluster:
        yield cluster


@pytest.fixture
def real_service(tmp_path: Path) -> Iterator[RealService]:
    service = RealService(tmp_path)
    yield service
    service.http.close()
    service.kill()


@pytest.fixture
def start_worker(real_service: RealService, tmp_path: Path) -> Iterator[Callable[..., RealWorker]]:
    """Starts workers of the real service with the options given; they end with the test."""
    workers = []

    def start(*options: str) -> RealWorker:
        workers.append(RealWorker(real_service.url, tmp_path, *options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()
