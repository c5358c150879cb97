"""What a running service consists of, handed to every request."""

from dataclasses import dataclass

from service.access import Access
from service.artifacts import Artifacts
from service.bell import Bell
from service.feed import Feed
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
