"""Reads bytes at places of a file."""

import sys
from array import array
from typing import BinaryIO, Final

END_MISSING = "its end is missing"
"""What is said of a file that ends before it should."""


_TYPE_CODES: Final = {"B": "B", "H": "H", "L": "I", "Q": "Q"}
"""How `array` calls the numbers that `struct` calls so in a file's own byte order."""


def unpack_numbers(order: str, code: str, data: bytes) -> "array[int]":
    """Given whole numbers as bytes, return them; many take little more memory than the bytes.

    `order` is "<" or ">", and `code` a code of `struct`. What is left at the end does not count.
    """
    numbers = array(_TYPE_CODES[code])
    numbers.frombytes(data[: len(data) // numbers.itemsize * numbers.itemsize])
    if (order == "<") != (sys.byteorder == "little"):
        numbers.byteswap()
    return numbers


def pack_numbers(order: str, code: str, numbers: "array[int]") -> bytes:
    """Return whole numbers as bytes, as `unpack_numbers` reads them."""
    packed = array(_TYPE_CODES[code], numbers)
    if (order == "<") != (sys.byteorder == "little"):
        packed.byteswap()
    return packed.tobytes()


def count_bytes(stream: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return stream.seek(0, 2)


def read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """Return `count` bytes from a position on, fewer at the end of the file."""
    # The position was read from the file itself, so it may be any number.
    stream.seek(max(0, min(position, count_bytes(stream))))
    return stream.read(count)
