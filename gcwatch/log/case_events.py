"""Which log event each event of a case becomes, and with which facts."""

from collections.abc import Mapping, Sequence
from typing import Any

from gcwatch.core import checklist, events
from gcwatch.core.case import STATUSES, Case, Upload
from gcwatch.core.events import Event
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import Reason, explain

LogEntry = tuple[str, Mapping[str, Any]]
"""Name of a log event, and its facts."""


def log_entry(before: Case, event: Event, after: Case) -> LogEntry | None:  # noqa: C901, PLR0912 -- one match, one line an event
    """Given an event and its case before and after, return the log entry; None for a repetition."""
    match event:
        case events.FolderFound():
            return "case.found", {"folder": after.folder}
        case events.FolderChanged(seen):
            return "case.changed", {"files": seen.files, "bytes": seen.bytes}
        case events.FolderSettled():
            return "case.settled", _settled_facts(after)
        case events.FolderVanished():
            return "case.vanished", {}
        case events.Planned(inputs, _, why):
            return "case.planned", {"inputs": [item.socket for item in inputs], "why": why}
        case events.ContentIdentified():
            return None
        case events.UploadStarted(upload):
            facts = {
                "bytes": upload.size,
                "files": upload.files,
                "left_out": upload.left_out,
            }
            return "upload.begun", {"socket": upload.socket, "upload": upload.pk, **facts}
        case events.UploadResumed(pk):
            return "upload.resumed", {"upload": pk}
        case events.UploadCompleted(pk):
            return "upload.completed", _upload_facts(pk, after)
        case events.FilesUploaded(uploads):
            return "upload.files_completed", _files_facts(uploads)
        case events.UploadsExpired():
            return "uploads.expired", {}
        case events.SessionCreated(socket, session):
            return "session.prepared", {"socket": socket, "session": session}
        case events.SubmissionAttempted():
            return "case.submitting", {}
        case events.Submitted(pk, url):
            return "case.submitted", {_submission_field(after): pk, "url": url}
        case events.ItemFilled():
            return "case.filled", _submission_facts(after)
        case events.WarningFound(reason):
            known = reason in before.warnings
            return None if known else ("case.warned", _reason_facts(reason))
        case events.StillRunning():
            return _running_entry(before, event, after)
        case events.Succeeded(outputs):
            return _success_entry(after, len(outputs))
        case events.OutputFetched(files):
            size = sum(file.size for file in files)
            return "output.fetched", {"files": len(files), "bytes": size}
        case events.Delivered(_, source):
            return "case.delivered", {**_delivery_facts(after), "source": source}
        case events.Adopted(_, receipt):
            return "case.adopted", {"receipt": receipt, **_submission_facts(after)}
        case events.CommandCompleted(seconds):
            return "command.completed", {"seconds": seconds}
        case events.CommandFailed(reason):
            return _failed_command(reason, after)
        case events.CommandDropped():
            return "command.dropped", {}
        case events.Rejected(reason):
            return "case.failed", _reason_facts(reason)
        case events.FailureReported():
            return "case.explained", {}
        case events.AttemptFailed(reason):
            return _failed_attempt(before, reason, after)
        case events.Postponed(reason) if _is_waiting_for(before, reason):
            return None
        case events.Postponed(reason) if reason.code == "copy_stopped":
            return "case.copy_stopped", _reason_facts(reason)
        case events.Postponed(reason, wait):
            step = checklist.next_step(after)
            return "case.postponed", {**_reason_facts(reason), "step": step, "seconds": round(wait)}
        case events.Retried():
            return "case.retried", {}
        case events.Withdrawn():
            return "case.withdrawn", {}
        case events.FolderChangedLate() | events.DeliveredFolderChanged():
            return None  # a copy that goes on is told once, when it has settled
        case events.LateChangeTold():
            return _late_change(after)
        case events.FolderCorrected(seen):
            return "case.corrected", {"files": seen.files, "bytes": seen.bytes}
        case events.FolderRemoved():
            return "case.left", {}
        case events.FolderReturned():
            return "case.returned", {}
        case events.FolderRenamed():
            return "case.renamed", {"folder": after.folder}
        case events.RouteRenamed():
            return "route.renamed", {"old": before.route}


def _is_waiting_for(case: Case, reason: Reason) -> bool:
    """Whether a case already waits for this reason: it is logged once."""
    return case.wait is not None and case.wait.reason.code == reason.code


def _reason_facts(reason: Reason) -> dict[str, Any]:
    """Return a reason for the log: in words, but without names of files and folders."""
    words = explain(Reason(reason.code, reason.facts))
    return {"reason": reason.code, "plain": words.plain, "detail": words.detail}


def _seconds(begin: float, end: float, digits: int = 1) -> float:
    """Return how long something took; 0.0 if the clock was set back meanwhile."""
    return max(round(end - begin, digits), 0.0)


def _settled_facts(case: Case) -> dict[str, Any]:
    seen = case.seen
    settled = case.settled or 0
    return {
        "files": seen.files if seen else 0,
        "bytes": seen.bytes if seen else 0,
        "seconds": _seconds(case.found if case.round == 1 else case.changed, settled),
        "unchanged_seconds": _seconds(case.changed, settled),
    }


def _upload_facts(pk: str, case: Case) -> dict[str, Any]:
    upload = next(upload for upload in case.uploads if upload.pk == pk)
    seconds = _seconds(upload.created, case.touched, 3)
    facts = {"bytes": upload.size, "seconds": seconds}
    return {"socket": upload.socket, "upload": upload.pk, **facts}


def _files_facts(uploads: Sequence[Upload]) -> dict[str, Any]:
    size = sum(upload.size for upload in uploads)
    return {"socket": uploads[0].socket, "files": len(uploads), "bytes": size}


def _submission_field(case: Case) -> str:
    """Return the log field for what a case becomes on the platform."""
    return KIND_NAMES[case.kind].product_key


def _submission_facts(case: Case) -> dict[str, Any]:
    return {_submission_field(case): case.submission.pk if case.submission else ""}


def _success_entry(case: Case, outputs: int) -> LogEntry:
    since = case.submission.submitted if case.submission else case.found
    facts = {**_submission_facts(case), "seconds": _seconds(since, case.touched)}
    if case.kind == "algorithm":
        return "job.succeeded", {**facts, "outputs": outputs}
    return "import.succeeded", {**facts, "images": len(case.images)}


def _running_entry(before: Case, event: events.StillRunning, after: Case) -> LogEntry | None:
    what = "job" if after.kind == "algorithm" else "import"
    facts = {**_submission_facts(after), "status": event.status}
    if event.stalled and after.wait is not None and not _is_waiting_for(before, after.wait.reason):
        hours = after.wait.reason.facts["hours"]
        return f"{what}.stalled", {**facts, "hours": hours}
    if event.status == before.status:
        return None
    if event.status not in STATUSES:
        return "platform.unknown_status", {"status": event.status}
    return f"{what}.status_changed", facts


def _late_change(case: Case) -> LogEntry:
    if case.late is None:
        return "case.as_sent_again", {}
    now = case.late.snapshot
    return "case.changed_late", {"files": now.files, "bytes": now.bytes, "changed": now.changing}


def _delivery_facts(case: Case) -> dict[str, Any]:
    return {
        "files": len(case.fetched),
        "bytes": sum(file.size for file in case.fetched),
        "seconds": _seconds(case.found, case.touched),
    }


def _failed_command(reason: Reason, after: Case) -> LogEntry:
    """Log `command.given_up` instead of `command.failed` if this attempt used up the retries."""
    attempt = after.command.attempts if after.command else 0
    is_over = after.command is not None and after.command.given_up
    name = "command.given_up" if is_over else "command.failed"
    return name, {**_reason_facts(reason), "attempt": attempt}


def _failed_attempt(before: Case, reason: Reason, after: Case) -> LogEntry:
    """Log `case.failed` instead of `case.faltered` if this attempt used up the retries."""
    if after.failure is not None and before.failure is None:
        return "case.failed", _reason_facts(reason)
    facts = {"step": checklist.next_step(after), "attempt": after.attempts}
    return "case.faltered", {**_reason_facts(reason), **facts}
