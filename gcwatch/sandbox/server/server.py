"""The HTTP server of both origins: keep-alive, TLS, bounded memory, broken connections."""

import ssl
import sys
from collections.abc import Callable
from contextlib import suppress
from http.server import ThreadingHTTPServer
from socket import SHUT_RDWR, socket
from threading import Event, Thread
from typing import Any

from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Request

from gcwatch.sandbox.metaimage import CHUNK_BYTES
from gcwatch.sandbox.server.body import RequestBody
from gcwatch.sandbox.server.reply import Reply

Service = Callable[[Request], Reply | None]


class _Handler(WSGIRequestHandler):
    """Serves one HTTP/1.1 connection; Werkzeug's handler would close it after each reply."""

    server: "Server"  # type: ignore[assignment]
    protocol_version = "HTTP/1.1"
    # Otherwise a small packet waits for the client, which acknowledges the last one 40 ms later.
    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    def run_wsgi(self) -> None:
        """Answer one request."""
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        environ = self.make_environ()
        if not environ.get("wsgi.input_terminated"):  # a chunked body has an end of its own
            length = int(environ.get("CONTENT_LENGTH") or 0)
            environ["wsgi.input"] = RequestBody(self.rfile, length)
            environ["wsgi.input_terminated"] = True
        body = environ["wsgi.input"]
        try:
            reply = self.server.service(Request(environ))
            if reply is None:
                self._break_connection()
                return
            # What is left of this body would be taken for the next request of the connection.
            while body.read(CHUNK_BYTES):
                pass
            self._send_reply(reply)
        except (ClientDisconnected, OSError):
            self._break_connection()

    def _send_reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(reply.size))
        head_only = self.command == "HEAD"
        length = (
            0
            if head_only
            else reply.size
            if reply.cut_after_bytes is None
            else reply.cut_after_bytes
        )
        if reply.file is None:
            # Head and body in one packet: the client need not wait for a second one.
            self._headers_buffer.extend([b"\r\n", reply.body[:length]])
            self.flush_headers()
        else:
            self.end_headers()
            self._send_file(reply, length)
        if reply.cut_after_bytes is not None:
            self._break_connection()

    def _send_file(self, reply: Reply, length: int) -> None:
        if reply.file is not None and length:
            step = reply.chunk_bytes or length
            with reply.file.open("rb") as file:
                for at in range(0, length, step):
                    self.connection.sendfile(file, reply.start + at, min(step, length - at))
                    reply.no_pauses.wait(reply.pause_seconds)

    def _break_connection(self) -> None:
        """Break the connection, as a network failure does."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(SHUT_RDWR)

    def version_string(self) -> str:
        """Return the server's name; the platform answers as nginx, too."""
        return "nginx"

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing; `Traffic` records the calls."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - the base's name
        """Log nothing."""


_POLL_SECONDS = 0.01
"""How long it takes at most to see that the server is to close; tests close thousands."""


class Server(ThreadingHTTPServer):
    """One origin on loopback, serving in threads until closed.

    Args:
        service: Returns the reply to a request, or None to break the connection.
        port: Port to listen on; 0 picks a free one.
        tls: Certificate and key, or None for plain HTTP.
    """

    daemon_threads = True
    # With the default of 5, connections wait when many uploads begin at once.
    request_queue_size = 128
    multithread = True
    multiprocess = False

    def __init__(self, service: Service, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.service = service
        self.ssl_context = tls
        self._connections: set[socket] = set()
        self._closing = Event()
        self._threads_running: set[Thread] = set()
        self._loop = Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True)

    @property
    def origin(self) -> str:
        """URL of the origin, without a slash at the end."""
        scheme = "https" if self.ssl_context else "http"
        return f"{scheme}://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        """Start to serve."""
        self._loop.start()

    def close(self) -> None:
        """Stop serving, break all connections, and wait for their threads."""
        self.shutdown()
        self._loop.join()
        self.server_close()
        self._closing.set()
        for connection in self._connections.copy():
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)
        for thread in self._threads_running:
            thread.join(5)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in its own thread."""
        thread = Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self._threads_running = {each for each in self._threads_running if each.is_alive()}
        self._threads_running.add(thread)
        self._connections.add(request)  # before its thread starts, so that `close` finds it
        thread.start()

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection; TLS is negotiated here, so that a slow client delays no other."""
        connection = request
        try:
            if self.ssl_context:
                connection = self.ssl_context.wrap_socket(
                    request, server_side=True, do_handshake_on_connect=False
                )
                self._connections.add(connection)
                if self._closing.is_set():
                    return  # `close` has looked for connections already
                connection.do_handshake()
            self.finish_request(connection, client_address)
        except OSError:
            pass
        except Exception:  # noqa: BLE001 - an error ends one connection, not the server
            self.handle_error(connection, client_address)
        finally:
            self._connections.difference_update({request, connection})
            self.shutdown_request(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base's parameters
        """Report an error of the sandbox itself."""
        sys.excepthook(*sys.exc_info())
