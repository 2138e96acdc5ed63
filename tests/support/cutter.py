"""What lies between a client and a PostgreSQL server, and can be cut: a proxy of its protocol.

A statement is all that a client sends until it waits for an answer: a simple query, or the messages
up to a Sync.
"""

import asyncio
import struct
import threading
from contextlib import suppress
from urllib.parse import urlsplit

_ENDS_STATEMENT = (b"Q", b"S")
_READY, _GOODBYE = b"Z", b"X"


class Cutter:
    """Passes on what clients of a port and the server in a folder say.

    Attributes:
        statements: How many have come so far, of all clients.
    """

    def __init__(self, folder):
        self._server = f"{folder}/.s.PGSQL.5432"
        self.statements = 0
        self._cut_at, self.is_after = None, False
        self.flows = None
        self._clients = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self.flows = self._call(self._open())
        return self

    def __exit__(self, *_):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, direct):
        """Given the address of a database, the one by which this is in between."""
        at = urlsplit(direct)
        return f"postgresql://{at.netloc}127.0.0.1:{self.port}{at.path}?sslmode=disable"

    def cut_at(self, number, *, after=False):
        """Cut once, at the statement of this number from now: before it is passed on, or after.

        *after* means that the server has done it, and the client gets no answer.
        """
        self._cut_at, self.is_after = self.statements + number, after

    def has_cut(self):
        """Whether the statement at which it cuts has come."""
        return self._cut_at is None

    def cut(self):
        """Cut all connections that there are."""
        self._call(self._cut())

    def freeze(self):
        """Let no byte pass, and nobody notice: connections stay, and new ones get no answer."""
        self._loop.call_soon_threadsafe(self.flows.clear)

    def heal(self):
        """Let bytes pass again."""
        self._loop.call_soon_threadsafe(self.flows.set)

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self):
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        flows = asyncio.Event()
        flows.set()
        return flows

    async def _close(self):
        self._listener.close()
        await self._cut()

    async def _cut(self):
        clients = list(self._clients)
        for each in clients:
            each.cancel()
        await asyncio.gather(*clients, return_exceptions=True)

    async def _serve(self, *client):
        """Serve a client until it, or the server, has gone, or it is cut."""
        task = asyncio.current_task()
        self._clients.add(task)
        server = None
        try:
            await self.flows.wait()
            with suppress(OSError):  # the server is away
                server = await asyncio.open_unix_connection(self._server)
                await self._pass_on(client, server)
        except asyncio.CancelledError:
            pass
        finally:
            self._clients.discard(task)
            for _, writer in filter(None, (client, server)):
                writer.transport.abort()

    async def _pass_on(self, client, server):
        link = _Link(self, client, server)
        both = [asyncio.ensure_future(each()) for each in (link.ask, link.answer)]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    def is_next(self):
        """Count a statement; return whether the connection is to be cut at it."""
        self.statements += 1
        if self.statements != self._cut_at:
            return False
        self._cut_at = None
        return True


class _Link:
    """A client and its session; each of both ways ends where the connection is to be cut."""

    def __init__(self, cutter, client, server):
        self._cutter = cutter
        self._client, self._server = client, server
        self._has_no_answer = False

    async def ask(self):
        """Pass on the client's statements."""
        reader, writer = self._client[0], self._server[1]
        await self._send(writer, await _rest(reader, b""))  # who it is has no kind
        waiting = b""
        while message := await _message(reader):
            waiting += message
            if message[:1] == _GOODBYE:
                return
            if message[:1] in _ENDS_STATEMENT:
                if self._cutter.is_next():
                    if not self._cutter.is_after:
                        return
                    self._has_no_answer = True
                await self._send(writer, waiting)
                waiting = b""

    async def answer(self):
        """Pass on the server's messages."""
        while message := await _message(self._server[0]):
            if not self._has_no_answer:
                await self._send(self._client[1], message)
            elif message[:1] == _READY:
                return

    async def _send(self, writer, message):
        await self._cutter.flows.wait()
        writer.write(message)
        await writer.drain()


async def _message(reader):
    """Read a message with its kind; b"" at the end."""
    try:
        return await _rest(reader, await reader.readexactly(1))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def _rest(reader, kind):
    length = await reader.readexactly(4)
    return kind + length + await reader.readexactly(struct.unpack(">I", length)[0] - 4)
