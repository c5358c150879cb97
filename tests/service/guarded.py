"""A service that asks for keys, and keys for it."""

from dataclasses import dataclass

import httpx

from service.store import Store, keys
from shrinknets.wire import Role


@dataclass(frozen=True)
class Keys:
    """A key of each role, and its id."""

    by_role: dict[Role, str]
    ids: dict[Role, str]

    def header(self, role: Role) -> dict[str, str]:
        return bearer(self.by_role[role])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def make_key(store: Store, role: Role, *, days: float | None = None) -> tuple[str, str]:
    """A new key's id and the key."""
    with store.writing() as tx:
        info, key = keys.create_key(
            tx, role=role, owner=f"{role}'s owner", name="test", expires_in_days=days
        )
    return info.id, key


def make_keys(store: Store) -> Keys:
    made = {role: make_key(store, role) for role in Role}
    return Keys(
        by_role={role: key for role, (_, key) in made.items()},
        ids={role: key_id for role, (key_id, _) in made.items()},
    )


def log_in(client: httpx.Client, key: str, **changes: str) -> httpx.Response:
    return client.post("/login", data={"key": key, **changes}, follow_redirects=False)
