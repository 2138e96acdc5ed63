"""Limits of uploads: what a rule says, and which one holds."""

import time
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch import config
from gcwatch.config import Limits
from gcwatch.core.errors import ConfigError
from gcwatch.core.rules.upload_limit import DAYS, UploadRule, parse_rule, upload_rate

MBIT = 125_000.0
WORK = tuple(map(parse_rule, ("20 Mbit/s", "mon-fri 07-19 5 Mbit/s", "sun unlimited")))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("20 Mbit/s", UploadRule(20 * MBIT)),
        ("  0.5Mbit/s ", UploadRule(0.5 * MBIT)),
        ("256 kbit/s", UploadRule(32_000)),
        ("1 Gbit/s", UploadRule(1000 * MBIT)),
        ("unlimited", UploadRule(None)),
        ("sat,sun 5 Mbit/s", UploadRule(5 * MBIT, frozenset({5, 6}))),
        ("fri-mon 5 Mbit/s", UploadRule(5 * MBIT, frozenset({4, 5, 6, 0}))),
        ("7:30-18 5 Mbit/s", UploadRule(5 * MBIT, begin=450, end=1080)),
        ("mon 19-07 5 Mbit/s", UploadRule(5 * MBIT, frozenset({0}), 1140, 420)),
        ("00-24 unlimited", UploadRule(None, begin=0, end=1440)),
    ],
)
def test_a_rule_says_days_hours_and_rate(text, rule):
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "fast", "5", "5 MB/s", "5 mbit/s", "-5 Mbit/s", "0 Mbit/s", "255 kbit/s"),
        *("mon-fri", "07-19", "mon-fri-sun 5 Mbit/s", "Mon 5 Mbit/s", "07-19 mon 5 Mbit/s"),
        *("7-7 5 Mbit/s", "24-7 5 Mbit/s", "7-25 5 Mbit/s", "7:60-8 5 Mbit/s", "1e3 Mbit/s"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"is|has"):
        parse_rule(text)


@pytest.mark.parametrize(
    ("day", "minute", "rate"),
    [
        *(("mon", 6 * 60 + 59, 20), ("mon", 7 * 60, 5), ("fri", 19 * 60 - 1, 5)),
        *(("fri", 19 * 60, 20), ("sat", 12 * 60, 20), ("sun", 0, None), ("sun", 1439, None)),
    ],
)
def test_the_last_rule_that_holds_is_followed(day, minute, rate):
    assert upload_rate(WORK, DAYS.index(day), minute) == (rate and rate * MBIT)


def test_a_time_over_midnight_belongs_to_the_day_on_which_it_begins():
    rule = parse_rule("sun 22-06 5 Mbit/s")
    week = ((day, hour) for day in range(7) for hour in range(24))
    held = [(DAYS[day], hour) for day, hour in week if rule.holds(day, hour * 60)]
    assert held == [*(("mon", hour) for hour in range(6)), ("sun", 22), ("sun", 23)]


@given(st.integers(0, 6), st.lists(st.integers(0, 1439), min_size=2, max_size=2, unique=True))
def test_a_rule_and_the_rest_of_the_day_fill_the_week(day, ends):
    """Every minute belongs to exactly one of the two."""
    begin, end = ends
    one, other = UploadRule(1.0, begin=begin, end=end), UploadRule(1.0, begin=end, end=begin)
    assert all(one.holds(day, at) != other.holds(day, at) for at in (*range(0, 1440, 7), *ends))


@pytest.fixture
def berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
def test_hours_are_those_that_the_clock_shows_when_it_is_changed():
    """On the day on which summer time begins and on the one on which it ends, 7 is 7."""
    limits = Limits(upload=["mon-sun 07-19 5 Mbit/s"])
    for day in (datetime(2026, 3, 29), datetime(2026, 10, 25), datetime(2026, 6, 1)):  # noqa: DTZ001 -- as a clock shows it
        for hour, rate in ((6, None), (7, 5 * MBIT), (18, 5 * MBIT), (19, None)):
            at = day + timedelta(hours=hour, minutes=30)
            assert limits.upload_rate(at.timestamp()) == rate


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('"5 MB/s"', "has '5 MB/s', which is no limit of uploads"),
        ('["5 Mbit/s", "mon-fri 7-7 1 Mbit/s"]', "has no time between its begin and its end"),
        ("5", "must be a limit such as 20 Mbit/s"),
        ("[5]", "must be a limit such as 20 Mbit/s"),
        ('"100 kbit/s"', "is less than 256 kbit/s"),
    ],
)
def test_a_mistake_in_the_config_says_what_is_right(tmp_path, value, problem):
    with pytest.raises(ConfigError) as error:
        config.parse(tmp_path / "c.toml", f"[limits]\nupload = {value}", needs_work=False)
    [said] = map(str, error.value.problems)
    assert problem in said
    assert "mon-fri 07-19 5 Mbit/s" in said


@pytest.mark.parametrize("value", ['"5 Mbit/s"', '["5 Mbit/s"]'])
def test_one_limit_may_stand_alone(tmp_path, value):
    text = f"[limits]\nupload = {value}"
    settings = config.parse(tmp_path / "c.toml", text, needs_work=False)
    assert settings.limits.upload == (UploadRule(5 * MBIT),)
