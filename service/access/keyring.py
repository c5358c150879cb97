"""Finds the holder of a key, asking the database at most every few seconds for each key."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from service.access.identity import Identity
from service.settings import Settings, is_loopback
from service.store import Reading, Store, keys
from service.store.ids import digest
from shrinknets.wire import Role

CACHE_SECONDS = 2.0
"""So long a key may go on to work after it was revoked."""
MAX_CACHED = 10_000

LOCAL_WORKER = Identity(key_id=None, owner="local worker", role=Role.WORKER)


@dataclass(frozen=True)
class _Cached:
    identity: Identity
    until: float


class Keyring:
    """The keys of the database; safe to share among threads."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        key = settings.worker_key
        self._worker_digest = None if key is None else digest(key.get_secret_value())
        self._open_until = 0.0
        self._is_closed = not (is_loopback(settings.host) or settings.trust_network)
        self._by_digest: OrderedDict[str, _Cached] = OrderedDict()
        self._by_id: OrderedDict[str, _Cached] = OrderedDict()

    def is_open_for_sure(self) -> bool:
        """Whether it was seen just now that there are no keys."""
        return time.monotonic() < self._open_until

    def is_open(self) -> bool:
        """Whether everybody may do everything; once a key was made, that never is so again.

        Not even when all keys are revoked or expired: that would open what was closed.
        """
        if self.is_open_for_sure():
            return True
        if not self._is_closed:
            with self._store.reading() as tx:
                self._is_closed = keys.has_keys(tx)
            if not self._is_closed:
                self._open_until = time.monotonic() + CACHE_SECONDS
        return not self._is_closed

    def recall(self, key: str) -> Identity | None:
        """The holder of a key that was looked up just now, or that needs no database."""
        of = digest(key)
        if self._worker_digest is not None and hmac.compare_digest(of, self._worker_digest):
            return LOCAL_WORKER
        return _recalled(self._by_digest, of)

    def recall_id(self, key_id: str) -> Identity | None:
        """The same for a key's id."""
        return _recalled(self._by_id, key_id)

    def was_known(self, key: str) -> bool:
        """Whether this key was valid at some time since the start of this process."""
        return digest(key) in self._by_digest

    def find(self, key: str) -> Identity | None:
        """The holder of a valid key; notes that it was used."""
        return self._find(lambda tx: keys.find_valid(tx, key), self._by_digest, digest(key))

    def find_id(self, key_id: str) -> Identity | None:
        """The holder of the valid key with this id; notes that it was used."""
        return self._find(lambda tx: keys.find_valid_id(tx, key_id), self._by_id, key_id)

    def _find(
        self,
        look: Callable[[Reading], keys.Valid | None],
        cache: OrderedDict[str, _Cached],
        name: str,
    ) -> Identity | None:
        with self._store.reading() as tx:
            found = look(tx)
        if found is None:
            cache.pop(name, None)
            return None
        if found.use_is_due:
            with self._store.writing() as tx:
                keys.note_use(tx, found.id)
        identity = Identity(key_id=found.id, owner=found.owner, role=found.role)
        cache[name] = _Cached(identity, time.monotonic() + CACHE_SECONDS)
        if len(cache) > MAX_CACHED:
            cache.popitem(last=False)
        return identity


def _recalled(cache: OrderedDict[str, _Cached], name: str) -> Identity | None:
    cached = cache.get(name)
    return cached.identity if cached is not None and time.monotonic() < cached.until else None
