"""Cron expressions on the days on which clocks are changed: each time comes, and once."""

import time
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.config import Cron

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
"""The rules of Europe/Berlin, so that no list of zones is needed."""
SPRING, AUTUMN = (2026, 3, 29), (2026, 10, 25)


@pytest.fixture(scope="module", autouse=True)
def _in_berlin():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", BERLIN)
        time.tzset()
        yield
    time.tzset()


def times_after(expression, begin, count):
    """The next times, as a clock on the wall shows them, with the hours to UTC."""
    cron, now, shown = Cron(expression), begin.timestamp(), []
    for _ in range(count):
        now = cron.after(now)
        shown.append(f"{datetime.fromtimestamp(now).astimezone():%d %H:%M%z}"[:-2])
    return shown


@pytest.mark.parametrize(
    ("expression", "day", "told"),
    [
        ("30 2 * * *", SPRING, ["29 03:30+02", "30 02:30+02"]),
        ("30 2 * * *", AUTUMN, ["25 02:30+02", "26 02:30+01"]),
        ("0 2 * * sun", AUTUMN, ["25 02:00+02", "01 02:00+01"]),
        ("0 3 * * *", SPRING, ["29 03:00+02", "30 03:00+02"]),
        ("0 3 * * *", AUTUMN, ["25 03:00+01", "26 03:00+01"]),
        ("15 2,3 * * *", SPRING, ["29 03:15+02", "30 02:15+02"]),
        ("15 2,3 * * *", AUTUMN, ["25 02:15+02", "25 03:15+01", "26 02:15+01"]),
        ("15,30 2-3 * * *", SPRING, ["29 03:15+02", "29 03:30+02", "30 02:15+02"]),
        ("0 * * * *", SPRING, ["29 01:00+01", "29 03:00+02", "29 04:00+02"]),
        ("0 * * * *", AUTUMN, ["25 01:00+02", "25 02:00+02", "25 02:00+01", "25 03:00+01"]),
    ],
)
def test_each_time_comes_once_on_the_days_of_a_change(expression, day, told):
    """A skipped time comes an hour later; a repeated one once, unless it is for every hour."""
    assert times_after(expression, datetime(*day, 0, 30).astimezone(), len(told)) == told


def test_a_start_within_the_hour_after_a_change_skips_nothing():
    """What was due at the skipped 2:30 is still due at 3:30 if gcwatch starts at 3:10."""
    assert times_after("30 2 * * *", datetime(*SPRING, 3, 10).astimezone(), 1) == ["29 03:30+02"]


@given(
    minute=st.sampled_from(["0", "30", "*/20", "5,50"]),
    hour=st.sampled_from(["*", "*/2", "2", "1-3", "2,14"]),
    day=st.sampled_from([SPRING, AUTUMN]),
    seconds=st.floats(0, 6 * 3600),
)
def test_the_next_time_is_always_later_and_never_away(minute, hour, day, seconds):
    """From any moment on; the next time is the same from every moment before it."""
    cron = Cron(f"{minute} {hour} * * *")
    now = datetime(*day).astimezone().timestamp() + seconds
    found = cron.after(now)
    assert now < found <= now + 25 * 3600
    assert cron.after((now + found) / 2) == found
    following = cron.after(found)
    assert found < following
    shown = [f"{datetime.fromtimestamp(each).astimezone():%d %H:%M}" for each in (found, following)]
    assert shown[0] != shown[1] or hour.startswith("*")


@pytest.mark.parametrize(
    ("expression", "last", "now", "told"),
    [
        ("0 2 * * *", (15, 2, 0), (15, 3, 0), (16, 2, 0)),
        ("0 2 * * *", (15, 2, 0), (15, 0, 30), (16, 2, 0)),  # set back before the same time
        ("0 2 * * *", (15, 2, 0), (13, 12, 0), (14, 2, 0)),  # it was wrong by days
        ("0 * * * *", (15, 2, 0), (15, 1, 40), (15, 3, 0)),
        ("0 * * * *", (15, 2, 0), (14, 20, 30), (14, 21, 0)),
    ],
)
def test_a_time_that_comes_again_after_a_step_back_does_not_count_twice(
    expression, last, now, told
):
    """But a run never stays away for as long as two usual pauses."""
    at = [datetime(2026, 6, *each).astimezone().timestamp() for each in (last, now, told)]
    assert Cron(expression).after_run(at[1], at[0]) == at[2]
