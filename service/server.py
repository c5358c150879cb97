"""Runs the service on a port until it is told to stop."""

import socket
import sys

import uvicorn

from service.app import create_app, prepare_database
from service.bell import Bell
from service.errors import PortTakenError
from service.settings import Settings, is_loopback, unguarded_host
from service.store import Store, keys

GRACE_SECONDS = 5
"""How long requests may go on after the order to stop."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; says on standard output where, once it answers.

    Raises PortTakenError, SchemaError, UnavailableError, and SettingsError where it would be open
    to strangers.
    """
    _keep_strangers_outside(settings)
    with _listen(settings.host, settings.port) as listener:
        # The app would do so too, but uvicorn answers its errors with a traceback.
        prepare_database(settings)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        bell = app.state.services.bell
        _Server(config, bell, _url(settings.host, listener)).run(sockets=[listener])


def _keep_strangers_outside(settings: Settings) -> None:
    if is_loopback(settings.host) or settings.trust_network:
        return
    prepare_database(settings)
    with Store(settings.database_url) as store, store.reading() as tx:
        if not keys.has_valid_keys(tx):
            raise unguarded_host(settings.host)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, bell: Bell, url: str) -> None:
        super().__init__(config)
        self._bell = bell
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        sys.stdout.write(f"ShrinkNets is at {self._url}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Before all else uvicorn waits for open connections: event streams must end first.
        self._bell.close()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise PortTakenError(host, port, str(error)) from error
    try:
        # A port whose last connections still fade away is free, a port that is listened at not.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise PortTakenError(host, port, error.strerror or str(error)) from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
