"""Reads bytes at places of a file."""

import sys
from array import array
from collections.abc import Iterator
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


_CHUNK_BYTES: Final = 64 * 1024


def iterate_numbers(
    stream: BinaryIO, order: str, code: str, position: int, length: int
) -> Iterator[int]:
    """Yield the whole numbers in `length` bytes from a position on; few are held in memory.

    Those beyond the end of the file are missing.
    """
    end = position + length
    while data := read_at(stream, position, max(0, min(end - position, _CHUNK_BYTES))):
        position += len(data)
        yield from unpack_numbers(order, code, data)


def zeros(code: str, count: int) -> "array[int]":
    """Return so many zeros, as numbers with a code of `struct`."""
    return array(_TYPE_CODES[code], [0]) * count


def pack_numbers(order: str, numbers: "array[int]") -> bytes:
    """Return whole numbers as bytes, as `unpack_numbers` reads them."""
    is_foreign = (order == "<") != (sys.byteorder == "little")
    if is_foreign:
        numbers.byteswap()
    packed = numbers.tobytes()
    if is_foreign:
        numbers.byteswap()
    return packed


def count_bytes(stream: BinaryIO) -> int:
    """Return how many bytes a file has."""
    return stream.seek(0, 2)


def read_at(stream: BinaryIO, position: int, count: int) -> bytes:
    """Return `count` bytes from a position on, fewer at the end of the file."""
    # The position was read from the file itself, so it may be any number.
    stream.seek(max(0, min(position, count_bytes(stream))))
    return stream.read(count)
