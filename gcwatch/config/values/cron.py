"""Cron expressions, and the times of this machine's clock that they stand for.

Where summer time begins, a time of the skipped hour comes an hour later. Where it ends, a time of
the repeated hour comes once; only an expression for every hour goes on in both, as cron has it.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gcwatch.core.clock import bounded_time

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

_LONGEST_CHANGE_SECONDS: Final = 3 * 3600.0
"""No zone changes its clocks by more, and none so often."""


@dataclass(frozen=True)
class Cron:
    """The times of a cron expression of five fields, in this machine's time zone.

    Raises:
        ValueError: The expression is not valid, or its time never comes.
    """

    expression: str

    def __post_init__(self) -> None:
        self.after(bounded_time(time.time()))

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""
        first = next(self._shown_times(_shown_at(now)))
        if _is_near_change(now):
            return self._after_near(now, now)
        found = first.timestamp()
        return self._after_near(found, now) if _is_near_change(found) else found

    def after_run(self, now: float, last: float) -> float:
        """Given the time now and that of the last run, return when the next one is due.

        If the clock was set back meanwhile by less than the time between two runs, the time of the
        last run comes again; it does not count twice.
        """
        following = self.after(last)
        return following if 0 < last - now < following - last else self.after(now)

    def _after_near(self, change: float, now: float) -> float:
        """Return the next time if the clocks are changed around a time."""
        begin = _shown_at(change - _LONGEST_CHANGE_SECONDS)
        end = _shown_at(change + _LONGEST_CHANGE_SECONDS)
        folds = (0, 1) if self._is_for_every_hour else (0,)
        found = set()
        for shown in self._shown_times(begin):
            times = (shown.replace(fold=fold).timestamp() for fold in folds)
            found |= {time for time in times if time > now}
            if found and shown > end:
                break
        return min(found)

    @property
    def _is_for_every_hour(self) -> bool:
        return self.expression.split()[1].startswith("*")

    def _shown_times(self, begin: datetime) -> Iterator[datetime]:
        """Yield what a clock shows at the times after *begin*, as if no clock were ever changed."""
        trigger, shown = _trigger(self.expression), begin.replace(tzinfo=UTC, fold=0)
        while True:
            # The trigger can return the time itself; the next one must be later.
            shown = trigger.get_next_fire_time(None, shown + timedelta(microseconds=1))
            if shown is None:
                raise ValueError("this time never comes")
            yield shown.replace(tzinfo=None)


def _shown_at(time: float) -> datetime:
    """Return what this machine's clock shows at a time."""
    return datetime.fromtimestamp(time, UTC).astimezone().replace(tzinfo=None)


def _is_near_change(time: float) -> bool:
    """Whether the clocks are changed around a time."""
    around = (time - _LONGEST_CHANGE_SECONDS, time + _LONGEST_CHANGE_SECONDS)
    before, after = (datetime.fromtimestamp(each, UTC).astimezone().utcoffset() for each in around)
    return before != after


@lru_cache
def _trigger(expression: str) -> "CronTrigger":
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 -- few configs have a cron

    if re.search("[0-9]", expression.rpartition(" ")[2]):
        raise ValueError(
            "write days of the week as names (mon-fri): cron programs number them differently"
        )
    return CronTrigger.from_crontab(expression, timezone=UTC)
