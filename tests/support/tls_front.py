"""TLS before a PostgreSQL server that speaks none, as the protocol begins it."""

import socket
import socketserver
import ssl
import threading
from contextlib import suppress

_WANTS_TLS = bytes.fromhex("0000000804d2162f")


class TlsFront(socketserver.ThreadingTCPServer):
    """Takes TLS off what clients of a port and the server in a folder say.

    Args:
        folder: Where the server's socket is.
        certificate: A certificate of trustme.
    """

    def __init__(self, folder, certificate):
        super().__init__(("127.0.0.1", 0), _Session)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self.context)
        self.place, self.port = f"{folder}/.s.PGSQL.5432", self.server_address[1]
        self._thread = threading.Thread(target=self.serve_forever, args=[0.01])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Session(socketserver.BaseRequestHandler):
    def handle(self):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as server:  # who leaves, leaves
            assert self.request.recv(8, socket.MSG_WAITALL) == _WANTS_TLS
            self.request.sendall(b"S")
            server.connect(self.server.place)
            with self.server.context.wrap_socket(self.request, server_side=True) as client:
                back = threading.Thread(target=_pass_on, args=[server, client])
                back.start()
                _pass_on(client, server)
                back.join()


def _pass_on(source, target):
    with suppress(OSError):
        while part := source.recv(1 << 16):
            target.sendall(part)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)
