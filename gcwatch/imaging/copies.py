"""What goes out of a file: how it is written, and how long it will be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Copy:
    """What goes out of a file.

    Attributes:
        write: Given the file, open for reading, and a target, writes it there.
        size: How many bytes it writes; None if that is known only afterwards.
        held: How many bytes of memory it takes until then.
    """

    write: Callable[[BinaryIO, BinaryIO], None]
    size: int | None = None
    held: int = 0


Prepare = Callable[[BinaryIO], Copy]
"""Given a file open for reading, return what goes out of it.

A file that must not be sent is refused here, before anything is written.
"""
