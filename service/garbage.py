"""Deletes stored files that nothing refers to, and old events; safe beside a running service."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from service.artifacts import Artifacts
from service.errors import ServiceError
from service.settings import Settings
from service.store import Store, networks, require_head, retention, workers
from service.store.facts import CheckpointsDropped, Fact

EVENTS_AT_ONCE = 5_000
"""More in one transaction would keep others waiting."""
UNFINISHED_SECONDS = 3600.0
"""A file that is begun later may be one that is being written now, whatever the settings say."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GarbageReport:
    """What went, or would go."""

    is_dry_run: bool
    files: int = 0
    """Handed in once, and referred to by nothing."""
    bytes: int = 0
    strays: int = 0
    """In the store without being known: what processes left that were killed."""
    stray_bytes: int = 0
    events: int = 0
    workers: int = 0
    """Not heard of for as long as events are kept."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        verb = "would delete" if self.is_dry_run else "deleted"
        return (
            f"{verb} {self.files} files that nothing refers to ({self.bytes:,} bytes), "
            f"{self.strays} stray files ({self.stray_bytes:,} bytes), {self.events} old events "
            f"and {self.workers} silent workers"
        )


def collect_garbage(settings: Settings, *, is_dry_run: bool = False) -> GarbageReport:
    """Delete what the settings no longer want kept; a dry run only counts.

    Raises SchemaError, UnavailableError.
    """
    require_head(settings.database_url)
    artifacts = Artifacts(settings.artifacts_url)
    with Store(settings.database_url) as store:
        collector = _Collector(store, artifacts, settings, is_dry_run=is_dry_run)
        report = collector.collect_strays(GarbageReport(is_dry_run=is_dry_run))
        report = collector.collect_files(report)
        return replace(
            report, events=collector.collect_events(), workers=collector.collect_workers()
        )


def delete_file(
    store: Store,
    artifacts: Artifacts,
    sha256: str,
    *,
    grace_seconds: float = 0,
    spares_awaited: bool = True,
) -> bool:
    """Delete a stored file if nothing refers to it or may soon; False where it stays.

    Raises UnavailableError.
    """
    # The file goes inside the transaction: an upload of the same content waits for its end,
    # looks for the file then, and stores it again. See docs/decisions.
    with store.writing() as tx:
        may_go = retention.drop_unreferenced(
            tx, sha256, grace_seconds=grace_seconds, spares_awaited=spares_awaited
        )
        if may_go:
            artifacts.delete(sha256)
        return may_go


def delete_dropped(store: Store, artifacts: Artifacts, facts: Sequence[Fact]) -> None:
    """Delete the files of checkpoints that a commit dropped; what fails is left to a collection."""
    for fact in facts:
        for sha256 in fact.files if isinstance(fact, CheckpointsDropped) else ():
            try:
                # Each is of one attempt alone, so no other trial can be about to refer to it.
                delete_file(store, artifacts, sha256, spares_awaited=False)
            except ServiceError:
                _logger.exception("The file %s stays behind.", sha256)


def delete_stray(store: Store, artifacts: Artifacts, sha256: str) -> bool:
    """Delete a stored file if nobody knows it; False where it stays. Raises UnavailableError."""
    with store.writing() as tx:
        if not retention.hold_unknown(tx, sha256):
            return False
        artifacts.delete(sha256)
        retention.let_go(tx, sha256)
        return True


class _Collector:
    def __init__(
        self, store: Store, artifacts: Artifacts, settings: Settings, *, is_dry_run: bool
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._grace_seconds = settings.artifact_grace_hours * 3600
        self._days = settings.event_days
        self._is_dry_run = is_dry_run

    def collect_files(self, report: GarbageReport) -> GarbageReport:
        with self._store.reading() as tx:
            found = retention.find_unreferenced(tx, grace_seconds=self._grace_seconds)
        gone = [file for file in found if self._is_dry_run or self._delete(file)]
        return replace(report, files=len(gone), bytes=sum(file.size_bytes for file in gone))

    def _delete(self, file: retention.StoredFile) -> bool:
        return delete_file(
            self._store, self._artifacts, file.sha256, grace_seconds=self._grace_seconds
        )

    def collect_strays(self, report: GarbageReport) -> GarbageReport:
        sizes = list(self._stray_sizes())
        return replace(report, strays=len(sizes), stray_bytes=sum(sizes))

    def _stray_sizes(self) -> Iterator[int]:
        seconds = max(self._grace_seconds, UNFINISHED_SECONDS)
        for path, size in self._artifacts.unfinished_before(seconds):
            if not self._is_dry_run:
                self._artifacts.delete_unfinished(path)
            yield size
        for sha256, size in self._artifacts.finished_before(self._grace_seconds):
            if self._is_stray(sha256):
                yield size

    def _is_stray(self, sha256: str) -> bool:
        """Whether nobody knows the file; then it is deleted, unless nothing shall be."""
        with self._store.reading() as tx:
            if networks.has_file(tx, sha256):
                return False
        if self._is_dry_run:
            return True
        return delete_stray(self._store, self._artifacts, sha256)

    def collect_events(self) -> int:
        if self._is_dry_run:
            with self._store.reading() as tx:
                return retention.count_old_events(tx, days=self._days)
        gone = 0
        while True:
            with self._store.writing() as tx:
                part = retention.drop_old_events(tx, days=self._days, limit=EVENTS_AT_ONCE)
            gone += part
            if part < EVENTS_AT_ONCE:
                return gone

    def collect_workers(self) -> int:
        if self._is_dry_run:
            with self._store.reading() as tx:
                return workers.count_silent(tx, days=self._days)
        with self._store.writing() as tx:
            return workers.drop_silent(tx, days=self._days)
