"""What wakes the loop, also after the machine's clock was set back."""

from datetime import UTC, datetime, timedelta

import pytest
from support.builders import Clock, until

from gcwatch.daemon.waking.schedule import Schedule
from gcwatch.daemon.waking.uptime import ClockSteps, read_uptime
from gcwatch.daemon.waking.wakeup import Wakeup


@pytest.fixture
def wakeup():
    return Wakeup()


def test_scans_go_on_after_the_clock_was_set_back(wakeup):
    """The scheduler waits for a time of the day that is hours away: it starts again."""
    schedule = Schedule(wakeup, survey=0.2, upkeep=3600.0)
    schedule.start()
    try:
        schedule.run_due()
        assert wakeup.is_scan_requested()
        # To the scheduler, a clock that is set back looks like runs that are due much later.
        for job in schedule._scheduler.get_jobs():
            job.modify(next_run_time=datetime.now(UTC) + timedelta(hours=2))
        wakeup.take_upkeep_request()
        wakeup.scan_started()
        assert schedule.run_due() > 3600

        schedule.restart()

        schedule.run_due()
        assert wakeup.take_upkeep_request()
        for _ in range(3):
            until(lambda: schedule.run_due() >= 0 and wakeup.is_scan_requested())
            wakeup.scan_started()
    finally:
        schedule.stop()


@pytest.mark.parametrize("seconds", [7200.0, -7200.0])
def test_a_clock_that_is_set_is_noticed_once(seconds):
    """Forward or back; time that passes is no step, and neither is a second of difference."""
    clock = Clock()
    steps = ClockSteps(clock, clock.uptime)
    clock.ahead = 1e6
    assert steps.seconds() == 0.0
    clock.wrong = 1.0
    assert steps.seconds() == 0.0
    clock.wrong = seconds
    assert steps.seconds() == pytest.approx(seconds, abs=0.1)
    steps.accept()
    assert steps.seconds() == 0.0


def test_the_uptime_counts_from_the_machine_s_start():
    """It goes on, and every reading in this process names the same start."""
    first, second = read_uptime(), read_uptime()
    assert second.since(first) >= 0
    assert first.boot == second.boot != ""
