"""Makes the ids and tokens of the service; nothing else invents one."""

import hashlib
import secrets
from enum import StrEnum

from shrinknets.wire import KEY_PREFIX

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # no letter that is easily read as another
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_KEY_LENGTH = 43  # 256 random bits
_LENGTH = 10  # 50 random bits: a million ids meet with a chance of 1 in 2,000, and are refused


class Kind(StrEnum):
    """What an id stands for; its prefix."""

    JOB = "job"
    TRIAL = "trial"
    ATTEMPT = "attempt"
    NETWORK = "net"
    KEY = "key"
    REQUEST = "req"


def new_id(kind: Kind) -> str:
    """A short random id such as `job-7h2k9mwq4x`."""
    return f"{kind}-{''.join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))}"


def new_token() -> str:
    """A secret that shows who holds a lease."""
    return secrets.token_urlsafe(24)


def new_key() -> str:
    """An API key: letters and digits alone, so that a double click selects all of it."""
    return KEY_PREFIX + "".join(secrets.choice(_BASE62) for _ in range(_KEY_LENGTH))


def digest(token: str) -> str:
    """What the database keeps of a token: enough to compare, useless to a thief."""
    return hashlib.sha256(token.encode("utf-8", "backslashreplace")).hexdigest()
