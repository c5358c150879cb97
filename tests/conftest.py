"""What tests of several packages need, and who runs beside whom."""

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, running_postgres

TOGETHER = "tests/sdk/"
"""The slow tests of this folder share a server and a job that has ended."""
LONGEST = "tests/service/test_fuzzing.py"


@pytest.hookimpl(tryfirst=True)  # xdist looks for groups in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, lest one process end long after the others."""
    items.sort(key=lambda item: -_weight(item))
    for item in items:
        if _is_slow(item) and item.nodeid.startswith(TOGETHER):
            item.add_marker(pytest.mark.xdist_group(TOGETHER))


def _weight(item: pytest.Item) -> int:
    return _is_slow(item) + (_is_slow(item) and item.nodeid.startswith((TOGETHER, LONGEST)))


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server
