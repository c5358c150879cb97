"""Copying logs that are sent from their beginning each time."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.engines import RayJobs, ray_logs
from worker.engines.ray_logs import LEFT_OUT, LogCopier
from worker.errors import RayUnreachableError


class GrowingLog(RayJobs):
    """A cluster with one log, which comes in pieces of some size."""

    def __init__(self) -> None:
        super().__init__("http://head:8265", token=None)
        self.content = b""
        self.piece = 3
        self.error: RayUnreachableError | None = None

    def read_log(self, job_id: str, node_id: str) -> Iterator[bytes]:
        if self.error is not None:
            raise self.error
        for start in range(0, len(self.content), self.piece):
            yield self.content[start : start + self.piece]


@pytest.fixture
def log() -> Iterator[GrowingLog]:
    log = GrowingLog()
    yield log
    log.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 100])
def test_only_what_is_new_is_appended_wherever_the_pieces_begin(
    log: GrowingLog, tmp_path: Path, piece: int
) -> None:
    log.piece = piece
    copier, file = LogCopier(log), tmp_path / "log"
    for length in (0, 4, 4, 5, 11):
        log.content = b"abcdefghijk"[:length]
        copier.copy("attempt-1", "node", file)
        assert file.read_bytes() == log.content


def test_a_log_that_was_just_copied_is_not_due_and_a_long_one_is_due_later(
    log: GrowingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(ray_logs.time, "monotonic", lambda: now)
    log.content, log.piece = b"x" * 2**20, 2**16
    copier = LogCopier(log)
    assert copier.is_due("attempt-1")
    copier.copy("attempt-1", "node", tmp_path / "log")
    now += 3.9
    assert not copier.is_due("attempt-1")
    now += 0.2
    assert copier.is_due("attempt-1")


def test_of_a_huge_log_the_rest_is_left_out(
    log: GrowingLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_logs, "MAX_BYTES", 6)
    log.content = b"abcdefghijkl"
    copier, file = LogCopier(log), tmp_path / "log"
    for _ in range(2):
        copier.copy("attempt-1", "node", file)
        assert file.read_bytes() == b"abcdef" + LEFT_OUT


def test_a_log_that_cannot_be_had_is_left_unless_the_whole_cluster_is_away(
    log: GrowingLog, tmp_path: Path
) -> None:
    copier, file = LogCopier(log), tmp_path / "log"
    log.error = RayUnreachableError(address="a", cause="status 500")
    copier.copy("attempt-1", "node", file)
    assert not copier.is_due("attempt-1")
    log.error = RayUnreachableError(address="a", cause="refused", may_have_worked=False)
    with pytest.raises(RayUnreachableError):
        copier.copy("attempt-1", "node", file)
