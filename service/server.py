"""Runs the service on a port until it is told to stop."""

import gc
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable

import uvicorn

from service.app import create_app, prepare_database
from service.bell import Bell
from service.data_folder import held_folder
from service.errors import PortTakenError
from service.settings import Settings, is_loopback, unguarded_host
from service.store import Store, keys
from shrinknets.logs import configure_logging

EXTRA_SECONDS = 2.0
"""For all that follows the last request; a thread that hangs beyond that is left behind."""

GONE_SECONDS = 90
"""A client that takes in nothing for longer is gone: its connection is given up."""

_logger = logging.getLogger(__name__)


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; says on standard output where, once it answers.

    Raises PortTakenError, FolderTakenError, SchemaError, UnavailableError, and SettingsError where
    it would be open to strangers.
    """
    configure_logging(settings.log_format, settings.log_level, secrets=settings.secrets())
    with held_folder(settings):
        _serve(settings)


def _serve(settings: Settings) -> None:
    _keep_strangers_outside(settings)
    with _listen(settings.host, settings.port) as listener:
        # The app would do so too, but uvicorn answers its errors with a traceback.
        prepare_database(settings)
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            # Its lines go to our handler; one for each request is ours already.
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.shutdown_seconds,  # type: ignore[arg-type]
        )
        bell = app.state.services.bell
        limit = threading.Timer(settings.shutdown_seconds + EXTRA_SECONDS, _leave)
        limit.daemon = True
        url = _url(settings.host, listener)
        try:
            server = _Server(config, bell, url, on_start=_keep_for_good, on_stop=limit.start)
            server.run(sockets=[listener])
        finally:
            limit.cancel()


def _keep_for_good() -> None:
    # What is there by now stays: looked at in every full collection of garbage, it would hold up
    # one request in a hundred for more than 100 ms.
    gc.collect()
    gc.freeze()


def _leave() -> None:
    """End although a thread goes on, such as one that waits for the database.

    What it works on is lost as if the process had been killed, which every client survives.
    """
    _logger.warning("A request does not end: it is left behind.")
    logging.shutdown()
    os._exit(0)


def _keep_strangers_outside(settings: Settings) -> None:
    if is_loopback(settings.host) or settings.trust_network:
        return
    prepare_database(settings)
    with Store(settings.database_url) as store, store.reading() as tx:
        if not keys.has_valid_keys(tx):
            raise unguarded_host(settings.host)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        bell: Bell,
        url: str,
        *,
        on_start: Callable[[], None] = lambda: None,
        on_stop: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._on_stop = on_stop
        self._bell = bell
        self._url = url

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()
        sys.stdout.write(f"ShrinkNets is at {self._url}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        # Before all else uvicorn waits for open connections: event streams must end first. From
        # now on no job is claimed either, by requests that come in on connections still open.
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
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Taken over by each connection. Otherwise what is written for a client that neither
            # reads nor leaves would be kept for ever.
            milliseconds = 1000 * GONE_SECONDS
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        raise PortTakenError(host, port, error.strerror or str(error)) from error
    return listener


def _url(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"
