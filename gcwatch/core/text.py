"""Names, times, sizes and counts as text for people. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python makes of a name's bytes that are no UTF-8."""


def iso_time(at: float) -> str:
    """Given seconds since the epoch, return the time in UTC as ISO 8601, to the second."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def readable_name(name: str) -> str:
    """Given a file name, return it as text that any program can read, whatever its bytes are."""
    bytes_shown = _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name)
    return bytes_shown.encode("utf-8", "backslashreplace").decode()


def time_span(seconds: float) -> str:
    """Given seconds, return them as people say it, rounded: 40 s, 12 min, 3 h 20 min, 5 days."""
    if seconds < 1:
        return f"{seconds:.1g} s" if seconds else "0 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{round(hours / 24)} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


_UNITS: Final = ("kB", "MB", "GB")


def data_size(count: int) -> str:
    """Given bytes, return them as people say it: 512 bytes, 1.3 GB."""
    if count < 1000:
        return counted(count, "byte")
    for power, unit in enumerate(_UNITS, start=1):
        if count < 999.95 * 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count / 1000**4:.1f} TB"


def counted(count: int, what: str) -> str:
    """Given a number and a noun, return the two in agreement."""
    return f"1 {what}" if count == 1 else f"{count} {what}s"


def printable_name(name: str) -> str:
    """Given any file or folder name, return it without what a terminal would obey."""
    text = readable_name(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
