"""The database: jobs, trials, attempts, records, networks and events; alone speaks SQL."""

from service.store.news import News
from service.store.paging import Slice
from service.store.schema import require_head, require_head_in, upgrade_to_head
from service.store.transactions import Reading, Store, Writing

__all__ = [
    "News",
    "Reading",
    "Slice",
    "Store",
    "Writing",
    "require_head",
    "require_head_in",
    "upgrade_to_head",
]
