"""A small HTTP server for tests of what happens when the service refuses or goes away."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shrinknets.wire import Order


class SmallService:
    """A real HTTP server that keeps what it got, can go away, and comes back on the same port."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, bytes, str | None]] = []
        self.status = 200
        self.is_full = False
        self.order = Order.CONTINUE
        self.assignment = b""
        self.ended = b""
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                service.requests.append(
                    (self.command, self.path, body, self.headers.get("Lease-Token"))
                )
                content = service.content(self.path)
                self.send_response(service.status_of(self.command))
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)
                # A server that went away must not go on answering on connections kept alive.
                self.close_connection = service._server is None

            do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815  (names that the base class looks for)

            def log_message(self, *args: object) -> None:
                pass

        ThreadingHTTPServer.allow_reuse_address = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()

    def status_of(self, command: str) -> int:
        if command == "HEAD":
            return 404  # no file was handed in before
        return 507 if self.is_full and command == "PUT" else self.status

    def content(self, path: str) -> bytes:
        if self.status >= 400:
            return b'{"type": "about:blank", "title": "No", "status": 0, "detail": "not like this"}'
        if path.endswith(("/records", "/checkpoints", "/resume", "/renew")):
            return b'{"order": "%s"}' % self.order.value.encode()
        if path.endswith("/logs"):
            return b'{"next": 0}'
        if path.endswith("/end"):
            return self.ended
        return self.assignment

    def bodies(self, end_of_path: str) -> list[bytes]:
        return [
            body
            for method, path, body, _ in self.requests
            if path.endswith(end_of_path) and method != "HEAD"
        ]
