"""Refuses requests for names that are not this service's.

A page of a foreign site whose name leads here (DNS rebinding) would count as ours to browsers.
"""

import ipaddress
import socket

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import wrong_host
from service.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
ANY_NAME = "*"


class HostCheck:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._listens_everywhere = _is_unspecified(settings.host)
        own = {settings.host.lower()}
        if self._listens_everywhere:
            own.add(socket.gethostname().lower())
        self._names = LOOPBACK_NAMES | own | {name.lower() for name in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if not self._is_ours(_name_in(host)):
                await wrong_host(host)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _is_ours(self, name: str) -> bool:
        if name in self._names or ANY_NAME in self._names:
            return True
        # An address is no name that somebody could let lead elsewhere.
        return self._listens_everywhere and _is_address(name)


def _name_in(host: str) -> str:
    """The name without the port, in small letters; an IPv6 address without its brackets."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_unspecified(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified
