"""How far a run is: what is told of the time that is left."""

import pytest

from gcwatch.core.progress import seconds_left
from gcwatch.views.progress import RateMeter, progress_line
from gcwatch.views.send_progress import WorkMeter


@pytest.mark.parametrize(
    ("ended", "spent", "at_once", "left"),
    [
        ([], [3.0, 3.0], 2, None),  # nothing has ended: nothing is known
        ([10.0], [], 1, None),
        ([10.0], [0.0, 0.0, 0.0], 1, 30.0),  # one after the other
        ([10.0] * 4, [0.0] * 4 + [5.0] * 4, 4, 15.0),  # four at a time, half of the next four done
        ([300.0], [300.0] * 15 + [0.0] * 4, 16, 300.0),  # four wait for the first to make room
        ([10.0], [11.0, 20.0], 2, None),  # all take longer than usual: no number is right
    ],
)
def test_the_time_left_follows_from_what_was_measured(ended, spent, at_once, left):
    """From how long cases took, how many at a time, and what is spent on the open ones."""
    assert seconds_left(ended, spent, at_once) == left


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_case_that_waits_takes_no_time():
    """Two of four are worked on at a time; what was delivered before is no measurement."""
    clock = Clock()
    meter = WorkMeter(clock)
    assert meter.seconds_left([0, 1, 2, 3], [0, 1]) is None
    clock.now = 10.0
    assert meter.seconds_left([0, 1, 2, 3], [0, 1]) is None
    clock.now = 20.0
    assert meter.seconds_left([2, 3], [2, 3]) == pytest.approx(20.0)
    clock.now = 30.0
    assert meter.seconds_left([2, 3], [2, 3]) == pytest.approx(10.0)


def test_what_ended_before_this_run_is_no_measurement():
    """Five of the ten that end in this run take a minute; the hundred before it do not count."""
    clock = Clock()
    meter = RateMeter(clock)
    assert meter.progress(100, 10) == (0, None)
    clock.now = 60.0
    assert meter.progress(105, 5) == (5, 60.0)
    assert meter.progress(110, 0) == (10, None)


def test_the_line_has_counts_and_an_estimate():
    """Without an estimate, only what is known."""
    assert progress_line(7, 20, 170.0) == "7 of 20 done, about 3 min left"
    assert progress_line(0, 20, None) == "0 of 20 done"
    assert progress_line(19, 20, 0.01) == "19 of 20 done, about 1 s left"
