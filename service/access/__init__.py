"""Who may do what: keys, sessions, roles, and what browsers are kept from."""

from service.access.access import Access, address_of
from service.access.guards import AttemptGuard, Caller, Guard, guards_of, identity_of
from service.access.headers import SecurityHeaders
from service.access.hosts import HostCheck
from service.access.identity import PERMISSIONS, Identity, Permission, actor_of
from service.access.origins import require_own_page
from service.access.sessions import COOKIE, SESSION_SECONDS

__all__ = [
    "COOKIE",
    "PERMISSIONS",
    "SESSION_SECONDS",
    "Access",
    "AttemptGuard",
    "Caller",
    "Guard",
    "HostCheck",
    "Identity",
    "Permission",
    "SecurityHeaders",
    "actor_of",
    "address_of",
    "guards_of",
    "identity_of",
    "require_own_page",
]
