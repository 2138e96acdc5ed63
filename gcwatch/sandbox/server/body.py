"""A request's body, read as it comes and never beyond its end."""

from io import BufferedIOBase, RawIOBase

from werkzeug.exceptions import ClientDisconnected


class RequestBody(RawIOBase):
    """The next so many bytes of a connection.

    Reading fills the caller's buffer straight from the socket: a part of a gigabyte is received
    without being copied about.

    Args:
        connection: What to read from.
        length: Bytes that belong to the body.
    """

    def __init__(self, connection: BufferedIOBase, length: int) -> None:
        self._connection = connection
        self._left = length

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or as much of it as there is.

        Raises:
            ClientDisconnected: The connection ended before the body did.
        """
        wanted = memoryview(buffer)[: self._left]
        got = self._connection.readinto(wanted) if wanted else 0
        if got < len(wanted):
            raise ClientDisconnected
        self._left -= got
        return got
