"""Who makes a request, and what each role may do."""

from dataclasses import dataclass
from enum import StrEnum

from service.store.audit import Actor
from shrinknets.wire import Role


class Permission(StrEnum):
    """What an endpoint asks for."""

    READ = "read"
    SUBMIT = "submit"
    WORK = "work"
    ADMINISTER = "administer"


PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: frozenset({Permission.READ}),
    Role.SUBMITTER: frozenset({Permission.READ, Permission.SUBMIT}),
    Role.WORKER: frozenset({Permission.READ, Permission.WORK}),
    Role.ADMIN: frozenset(Permission),
}


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The holder of a key, or anybody where there are no keys."""

    key_id: str | None
    owner: str
    role: Role
    by_cookie: bool = False
    """Whether a browser showed this by itself, whoever made it ask."""

    @property
    def keeps_as(self) -> str:
        """Under whose name something is remembered for them; empty for those without a key."""
        return "" if self.key_id is None else self.owner

    def may(self, permission: Permission) -> bool:
        return permission in PERMISSIONS[self.role]


ANYBODY = Identity(key_id=None, owner="anybody", role=Role.ADMIN)
"""Who everybody is while there are no keys."""


def roles_with(permission: Permission) -> list[Role]:
    """The roles that may do this."""
    return [role for role in Role if permission in PERMISSIONS[role]]


def actor_of(identity: Identity) -> Actor:
    """The identity as the audit trail names it."""
    return Actor(key_id=identity.key_id, owner=identity.owner)
