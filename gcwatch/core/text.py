"""Names, times, sizes and counts as text for people, and sentences filled with them."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from string import Formatter
from typing import Any

from gcwatch.core.clock import bounded_time

_UNDECODED = re.compile("[\udc80-\udcff]")
"""What Python makes of a name's bytes that are not UTF-8."""


_TWO_STOPS = re.compile(r"(?<![.])[.][.](?=[\s)]|$)")
"""The end of a fact that is a sentence, and that of the sentence around it."""


def iso_time(at: float) -> str:
    """Given seconds since the epoch, return the time in UTC as ISO 8601, to the second."""
    return datetime.fromtimestamp(bounded_time(at), UTC).isoformat(timespec="seconds")


def local_time(at: float) -> str:
    """Given seconds since the epoch, return the time in this machine's time zone, to the minute."""
    return f"{datetime.fromtimestamp(bounded_time(at)).astimezone():%Y-%m-%d %H:%M}"


def readable_name(name: str) -> str:
    """Given a file name, return it as text that any program can read, whatever its bytes are."""
    bytes_shown = _UNDECODED.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name)
    return bytes_shown.encode("utf-8", "backslashreplace").decode()


def printable_name(name: str) -> str:
    """Given a file or folder name, return it with control characters escaped, for a terminal."""
    text = readable_name(name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def time_span(seconds: float) -> str:
    """Given seconds, return them rounded, with a unit: 40 s, 12 min, 3 h 20 min, 5 days."""
    # humanize writes "3 hours and 20 minutes": too long for a table and a status line.
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


def data_size(count: int) -> str:
    """Given a number of bytes, return it with a decimal unit: 512 bytes, 1.3 GB."""
    import humanize  # noqa: PLC0415 -- late, for a fast start

    return humanize.naturalsize(count).replace("Byte", "byte")


def count_noun(count: int, noun: str) -> str:
    """Given a number and a noun in the singular, return both: 1 file, 2 files."""
    return f"1 {noun}" if count == 1 else f"{count} {noun}s"


class _SentenceFormatter(Formatter):
    """Knows the specs of `fill_sentence`, and shows a fact that is missing as its name."""

    def get_value(
        self,
        key: int | str,
        args: Sequence[Any],  # noqa: ARG002 -- the base's parameters
        kwargs: Mapping[str, Any],
    ) -> Any:
        return kwargs.get(str(key), f"<{key}>")

    def format_field(self, value: Any, format_spec: str) -> str:
        if "|" in format_spec:
            one, several = format_spec.split("|")
            return one if value == 1 else several
        if not isinstance(value, int | float):
            return str(value)
        match format_spec:
            case "span":
                return time_span(value)
            case "size":
                return data_size(int(value))
            case _:
                return format(value, format_spec)


def fill_sentence(template: str, facts: Mapping[str, Any]) -> str:
    """Given a sentence with {facts} in braces and the facts, return the sentence.

    `{count:file|files}` gives the word that agrees with the number `count`, `{wait:span}` seconds
    as a time span, `{bytes:size}` bytes as a size. A missing fact shows as its name: `<count>`.
    A fact that ends in a full stop is followed by no other one.
    """
    return _TWO_STOPS.sub(".", _SentenceFormatter().vformat(template, (), facts))
