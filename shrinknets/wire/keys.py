"""API keys as people see them, and the trail of what was done with them."""

from datetime import datetime
from enum import StrEnum

from shrinknets.wire._base import Wire

KEY_VARIABLE = "SHRINKNETS_API_KEY"
"""The environment variable in which client, command line and worker look for their key."""
KEY_PREFIX = "sn_"
"""What every key begins with, so that people and scanners know one when they see it."""


def can_be_key(text: str) -> bool:
    """Whether a header can carry this as a key; HTTP libraries print what they cannot send."""
    return text.isascii() and text.replace("_", "").replace("-", "").isalnum()


class Role(StrEnum):
    """What the holder of a key may do."""

    VIEWER = "viewer"
    SUBMITTER = "submitter"
    WORKER = "worker"
    ADMIN = "admin"


class Outcome(StrEnum):
    """Whether what was tried was done."""

    SUCCESS = "success"
    FAILURE = "failure"


class Key(Wire):
    """An API key without the key itself, which is nowhere kept."""

    id: str
    name: str
    owner: str
    role: Role
    prefix: str
    """The beginning of the key, to tell one from another."""
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


class AuditEntry(Wire):
    """Who did what, and when."""

    id: int
    at: datetime
    key_id: str | None
    """The key that was shown, if one was."""
    owner: str
    """The key's owner; `cli:NAME` for a command on the service's machine."""
    action: str
    """Such as `job.submit`, `key.revoke` or `login`."""
    object: str
    """The id of what it was done to, or the address that a login came from."""
    outcome: Outcome
