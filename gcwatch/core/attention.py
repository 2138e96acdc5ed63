"""Which cases somebody has to look at, and why: for `health`, metrics and alerts."""

from typing import Literal

from gcwatch.core.case import Case
from gcwatch.core.checklist import stage
from gcwatch.core.reasons import CATALOGUE, Reason

Attention = Literal["failed", "to_check", "stuck"]
"""A case failed, was delivered with something to check, or waits for a person."""

ATTENTIONS: tuple[Attention, ...] = ("failed", "to_check", "stuck")


def reason_of(case: Case) -> Reason | None:
    """Return why a case waits or has failed, or why its command has; None if neither."""
    if case.wait is not None and case.is_open:
        return case.wait.reason
    if case.command is not None:
        return case.command.problem
    return case.failure


def attention_at(stage_: str, code: str) -> Attention | None:
    """Given the stage and the reason code ("": none) of a case that is shown, return what it needs.

    Only the cases of `Journal.attention` are shown: one that was delivered is odd.
    """
    match stage_:
        case "failed":
            return "failed"
        case "delivered":
            return "to_check"
        case _:
            return "stuck" if code and CATALOGUE[code].needs_person else None


def attention_of(case: Case) -> Attention | None:
    """Given a case of `Journal.attention`, return what it needs."""
    reason = reason_of(case)
    return attention_at(stage(case), reason.code if reason else "")
