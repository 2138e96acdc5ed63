"""How fast uploads may be, at which times of the week."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_UNITS: Final = {"kbit/s": 1e3 / 8, "Mbit/s": 1e6 / 8, "Gbit/s": 1e9 / 8}
_UNLIMITED: Final = "unlimited"
_LOWEST_BYTES_A_SECOND: Final = 256e3 / 8
"""A storage ends a connection on which nothing comes for long."""

_DAY: Final = "|".join(DAYS)
_RULE: Final = re.compile(
    rf"(?:(?P<days>(?:{_DAY})(?:[-,](?:{_DAY}))*) +)?"
    r"(?:(?P<begin>\d{1,2}(?::\d\d)?)-(?P<end>\d{1,2}(?::\d\d)?) +)?"
    rf"(?:(?P<number>\d+(?:\.\d+)?) *(?P<unit>{'|'.join(_UNITS)})|{_UNLIMITED})"
)
_DAY_MINUTES: Final = 24 * 60


@dataclass(frozen=True)
class UploadRule:
    """At most `rate` bytes a second (None: unlimited) on some `days` (0 is Monday).

    It holds from the minute `begin` of the day to the minute `end`; if that is not later, to the
    minute `end` of the next day.
    """

    rate: float | None
    days: frozenset[int] = frozenset(range(7))
    begin: int = 0
    end: int = _DAY_MINUTES

    def holds(self, day: int, minute: int) -> bool:
        """Whether it holds when a clock shows this day of the week and minute of the day."""
        if self.begin < self.end:
            return day in self.days and self.begin <= minute < self.end
        before_midnight = day in self.days and minute >= self.begin
        return before_midnight or ((day - 1) % 7 in self.days and minute < self.end)


def parse_rule(text: str) -> UploadRule:
    """Given "5 Mbit/s" or "mon-fri 07-19 5 Mbit/s", return the rule; raise ValueError otherwise."""
    found = _RULE.fullmatch(text.strip())
    if found is None:
        raise ValueError("is no limit of uploads")
    rate = float(found["number"]) * _UNITS[found["unit"]] if found["number"] else None
    if rate is not None and rate < _LOWEST_BYTES_A_SECOND:
        raise ValueError("is less than 256 kbit/s")
    days = _parse_days(found["days"]) if found["days"] else frozenset(range(7))
    if found["begin"] is None:
        return UploadRule(rate, days)
    begin, end = _parse_minute(found["begin"]), _parse_minute(found["end"])
    if begin in {end, _DAY_MINUTES}:
        raise ValueError("has no time between its begin and its end")
    return UploadRule(rate, days, begin, end)


def _parse_days(text: str) -> frozenset[int]:
    """Given "mon-fri,sun", return the days; a span may go over Sunday."""
    found: set[int] = set()
    for span in text.split(","):
        first, *more = (DAYS.index(each) for each in span.split("-"))
        if len(more) > 1:
            raise ValueError("has a span of days with two ends")
        last = more[0] if more else first
        found |= {day % 7 for day in range(first, last + (7 if last < first else 0) + 1)}
    return frozenset(found)


def _parse_minute(text: str) -> int:
    hours, _, minutes = text.partition(":")
    found = int(hours) * 60 + int(minutes or 0)
    if int(minutes or 0) >= 60 or found > _DAY_MINUTES:
        raise ValueError("has a time that no clock shows")
    return found


def upload_rate(rules: Sequence[UploadRule], day: int, minute: int) -> float | None:
    """Return the limit that holds when a clock shows this, in bytes a second; None without one.

    The last rule that holds is followed.
    """
    return next((each.rate for each in reversed(rules) if each.holds(day, minute)), None)
