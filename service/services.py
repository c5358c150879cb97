"""What a running service consists of, handed to every request."""

import asyncio
from dataclasses import dataclass, field

from service.access import Access
from service.artifacts import Artifacts
from service.bell import Bell
from service.claiming import ClaimDesk
from service.feed import Feed
from service.metrics import Metrics
from service.readiness import Readiness
from service.settings import Settings
from service.store import Store


@dataclass(frozen=True, kw_only=True)
class Services:
    """The parts that live as long as the process."""

    settings: Settings
    store: Store
    artifacts: Artifacts
    bell: Bell
    feed: Feed
    access: Access
    desk: ClaimDesk
    metrics: Metrics
    readiness: Readiness
    inspections: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    """Files looked into at once: that takes a thread and a core for as long as a file is large."""

    @property
    def is_stopping(self) -> bool:
        """Whether the order to stop has come: what has begun may end, nothing new begins."""
        return self.bell.is_closed
