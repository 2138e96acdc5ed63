"""When a case is due: polls, pauses between tries, and the pace of a route."""

import math
import zlib
from dataclasses import dataclass
from typing import Protocol

from gcwatch.core.case import LONGEST_WAIT_SECONDS, Case, Submission, wait_end
from gcwatch.core.checklist import Step, next_step, stage


class Poll(Protocol):
    """When to ask the platform again: at an interval, or at the times of a cron expression."""

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""


@dataclass(frozen=True)
class Every:
    """At an interval of `seconds`."""

    seconds: float

    def after(self, now: float) -> float:
        """Given a time (seconds since the epoch), return the next time after it."""
        return now + self.seconds

    def after_run(self, now: float, _last: float) -> float:
        """Given the time now, return when the run after the last one is due."""
        return self.after(now)


@dataclass(frozen=True)
class Pace:
    """All intervals of a route in seconds; tests use shorter ones than hospitals.

    `settle`: how long a folder must stay unchanged. `poll`: when to ask for a job's status.
    `survey`: between two scans of the inboxes. `backoff`: the first pause after a failed try;
    `slowest`: the longest pause between two tries, or two polls of an old job. `doubt`: how long
    the platform may still work on a call whose reply was lost (platform 10.2). `upkeep`: between
    two clean-ups. `refused`: between two tries with a refused token. `hung`: how long work may
    show no progress before it counts as hanging. `lease`: how long, of the hosts that share a
    journal, one keeps its work without a sign of life.
    """

    settle: float = 30.0
    poll: Poll = Every(60.0)
    survey: float = 60.0
    backoff: float = 5.0
    slowest: float = 900.0
    doubt: float = 180.0
    upkeep: float = 3600.0
    refused: float = 60.0
    hung: float = 900.0
    lease: float = 45.0


def retry_pause(
    tries: int, first: float, longest: float = math.inf, *, spread: float = 0.0
) -> float:
    """Return how many seconds to pause after a try that failed.

    Args:
        tries: How many tries in a row have failed, at least 1.
        first: The pause after the first; each further one is twice as long.
        longest: No pause is longer, in seconds.
        spread: The part by which the pause is longer, so that retries do not all come at once.
    """
    doublings = min(tries - 1, 16)  # more would only overflow
    return min(first * 2.0**doublings * (1 + spread), longest)


def _case_pause(key: str, attempts: int, pace: Pace) -> float:
    """Return the pause: it doubles up to `slowest`; up to 20 % more keeps cases apart."""
    spread = zlib.crc32(f"{key}/{attempts}".encode()) % 1000 / 5000
    return retry_pause(attempts, pace.backoff, pace.slowest, spread=spread)


def _poll_due(case: Case, submission: Submission, pace: Pace) -> float:
    """Return the next poll: the first after 75 % of the average duration, then at the route's pace.

    An old job is polled more rarely: the pause is at least 5 % of the time since submission.
    """
    expected = case.target.expected if case.target else None
    first = wait_end(submission.submitted, 0.75 * (expected or 0.0))
    age = case.touched - submission.submitted  # negative: the clock was set back meanwhile
    if age >= 0 and case.touched < first:
        return first
    aged = case.touched + min(age / 20, pace.slowest)
    return max(pace.poll.after(case.touched), aged)


def due_time(case: Case, pace: Pace) -> float | None:
    """Given a case, return the time at which its next step may start; None if it has none."""
    step = next_step(case)
    if step is Step.COMMAND and case.command is not None:
        tries = case.command.attempts
        return case.command.at + (_case_pause(case.key, tries, pace) if tries else 0.0)
    if case.ending is not None and step is None:
        return None
    if case.wait and case.wait.until:
        # A journal that an earlier version wrote may hold a time that no calendar has.
        return min(case.wait.until, case.touched + LONGEST_WAIT_SECONDS)
    since = case.touched if case.late is None else case.late.at
    if case.attempts:
        return since + _case_pause(case.key, case.attempts, pace)
    if case.late is not None:
        return since + pace.settle
    # Without a time of the last change that counts real seconds, the step notes one now.
    if case.failure is None and case.settled is None and case.quiet_since is not None:
        return case.changed + pace.settle
    if stage(case) == "running" and case.submission:
        return _poll_due(case, case.submission, pace)
    return case.touched
