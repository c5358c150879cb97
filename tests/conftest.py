"""What tests of several packages need, and who runs beside whom."""

from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.postgres import PostgresServer, running_postgres

TOGETHER = (
    "tests/sdk/",
    "tests/browser/",
    "tests/readme/",
    "tests/worker/test_ray",
    "tests/worker/faults/test_trials.py",
    "tests/worker/test_local_engine.py",
    "tests/worker/test_resuming.py",
)
"""The tests below each of these share what takes long to start: servers, workers, a cluster."""
LONGEST = "tests/service/test_fuzzing.py"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, lest one process end long after the others."""
    items.sort(key=lambda item: -_weight(item))


def _weight(item: pytest.Item) -> int:
    is_slow = item.get_closest_marker("slow") is not None
    return is_slow + (is_slow and item.nodeid.startswith((*TOGETHER, LONGEST)))


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)


# Not by xdist's own marks for groups, which this version of pytest does not see.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Each test goes to whoever is free, those of one group to the same process."""
    return _Scheduling(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server
