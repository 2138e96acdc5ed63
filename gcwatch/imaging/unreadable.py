"""What the platform's importer can't read, in words."""

from typing import NamedTuple


class Unreadable(NamedTuple):
    """What a file is that the importer can't read, and what to convert it to."""

    what: str
    wanted: str
