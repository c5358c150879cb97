"""What a running service consists of, handed to every request."""

from dataclasses import dataclass

from service.access import Access
from service.artifacts import Artifacts
from service.bell import Bell
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
    access: Access
    metrics: Metrics
    readiness: Readiness

    @property
    def is_stopping(self) -> bool:
        """Whether the order to stop has come: what has begun may end, nothing new begins."""
        return self.bell.is_closed
