"""The service: REST, live events, dashboard and the job queue; owns the database."""

from service.app import create_app
from service.errors import (
    PortTakenError,
    SchemaError,
    ServiceError,
    SettingsError,
    UnavailableError,
)
from service.garbage import GarbageReport, collect_garbage
from service.server import serve
from service.settings import Settings, read_settings
from service.store import upgrade_to_head

__all__ = [
    "GarbageReport",
    "PortTakenError",
    "SchemaError",
    "ServiceError",
    "Settings",
    "SettingsError",
    "UnavailableError",
    "collect_garbage",
    "create_app",
    "read_settings",
    "serve",
    "upgrade_to_head",
]
