"""Reads bytes at places of a file."""

from typing import BinaryIO

END_MISSING = "its end is missing"
"""What is said of a file that ends before it should."""


def count_bytes(stream: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return stream.seek(0, 2)


def read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """Return `count` bytes from a position on, fewer at the end of the file."""
    # The position was read from the file itself, so it may be any number.
    stream.seek(max(0, min(position, count_bytes(stream))))
    return stream.read(count)
