"""What came of a run of a mirror: its summary, or the error that ended it as a reason."""

from dataclasses import dataclass

from gcwatch.core.errors import CaseError, GcwatchError, Refused, TokenRefused, Unreachable
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import iso_time
from gcwatch.mirrors.last_run import LastRun


@dataclass(frozen=True)
class MirrorSummary:
    """The result of a run: `items` are on the platform, `gone` are only on disk.

    Of a reader study, `answers` are in its table; `masks_missing` of them have no mask yet.
    """

    mirror: str
    items: int
    fetched: int
    changed: int
    unchanged: int
    gone: int
    failed: int
    bytes: int
    seconds: float
    answers: int = 0
    masks_missing: int = 0

    def as_last_run(self, now: float) -> LastRun:
        """Return what is remembered of the run, which ended now."""
        # What is gone from the platform is still on disk.
        held = self.items - self.failed + self.gone
        return LastRun(
            ended=iso_time(now),
            items=held,
            gone=self.gone,
            failed=self.failed,
            answers=self.answers,
            masks_missing=self.masks_missing,
        )


def failure_reason(error: GcwatchError) -> Reason:
    """Given the error that ended a run, return it as a reason of the catalogue."""
    match error:
        case CaseError() | Unreachable():
            return error.reason
        case TokenRefused():
            return Reason("token_refused")
        case Refused():
            message = "; ".join(error.messages)[:500]
            facts = {"call": error.call, "status": error.status, "message": message}
            return Reason("mirror_refused", facts)
        case _:
            return Reason("stopped")


def log_fields(reason: Reason) -> dict[str, str]:
    """Given a reason, return its log fields: code and sentences, without names of files."""
    said = explain(Reason(reason.code, reason.facts))
    return {"reason": reason.code, "plain": said.plain, "detail": said.detail}
