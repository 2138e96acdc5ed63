"""The body of a request, as a stream that ends where the body ends."""

from io import BufferedIOBase, RawIOBase

from werkzeug.exceptions import ClientDisconnected


class RequestBody(RawIOBase):
    """The next *length* bytes of a connection.

    The socket is read directly into the caller's buffer, so that large parts are not copied in
    memory.

    Args:
        connection: What to read from.
        length: Bytes that belong to the body.
    """

    def __init__(self, connection: BufferedIOBase, length: int) -> None:
        self._connection = connection
        self._left = length

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into the buffer; return the number of bytes read.

        Raises:
            ClientDisconnected: The connection ended before the body did.
        """
        wanted = memoryview(buffer)[: self._left]
        got = self._connection.readinto(wanted) if wanted else 0
        if got < len(wanted):
            raise ClientDisconnected
        self._left -= got
        return got
