"""What an event says in the log: its name in the catalogue and its facts. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from gcwatch.core import checklist, events
from gcwatch.core.case import STATUSES, Case, Upload
from gcwatch.core.events import Event
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import Reason, explain

News = tuple[str, Mapping[str, Any]]


def log_entry(before: Case, event: Event, after: Case) -> News | None:  # noqa: C901, PLR0912 -- one match, one line an event
    """Given an event and its case before and after, return what to log; None if it is no news."""
    match event:
        case events.FolderFound():
            return "case.found", {"folder": after.folder}
        case events.FolderChanged(seen):
            return "case.changed", {"files": seen.files, "bytes": seen.bytes}
        case events.FolderSettled():
            return "case.settled", _settled(after)
        case events.FolderVanished():
            return "case.vanished", {}
        case events.Planned(inputs, _, why):
            return "case.planned", {"inputs": [item.socket for item in inputs], "why": why}
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
            return "upload.completed", _uploaded(pk, after)
        case events.FilesUploaded(uploads):
            return "upload.files_completed", _files_uploaded(uploads)
        case events.UploadsExpired():
            return "uploads.expired", {}
        case events.SessionCreated(socket, session):
            return "session.prepared", {"socket": socket, "session": session}
        case events.SubmissionAttempted():
            return "case.submitting", {}
        case events.Submitted(pk, url):
            return "case.submitted", {KIND_NAMES[after.kind].product_key: pk, "url": url}
        case events.ItemFilled():
            return "case.filled", _submission(after)
        case events.WarningFound(reason):
            known = reason in before.warnings
            return None if known else ("case.warned", _reason(reason))
        case events.StillRunning():
            return _running(before, event, after)
        case events.Succeeded(outputs):
            return _succeeded(after, len(outputs))
        case events.OutputFetched(files):
            size = sum(file.size for file in files)
            return "output.fetched", {"files": len(files), "bytes": size}
        case events.Delivered(_, source):
            return "case.delivered", {**_delivered(after), "source": source}
        case events.Rejected(reason):
            return "case.failed", _reason(reason)
        case events.FailureReported():
            return "case.explained", {}
        case events.AttemptFailed(reason):
            return _faltered(before, reason, after)
        case events.Postponed(reason) if _is_waiting_for(before, reason):
            return None
        case events.Postponed(reason, wait):
            step = checklist.next_step(after)
            return "case.postponed", {**_reason(reason), "step": step, "seconds": round(wait)}
        case events.Retried():
            return "case.retried", {}
        case events.Withdrawn():
            return "case.withdrawn", {}
        case events.FolderChangedLate(snapshot):
            same = before.seen is not None and before.seen.digest == snapshot.digest
            return None if same else ("case.changed_late", {})
        case events.FolderRemoved():
            return "case.left", {}
        case events.FolderReturned():
            return "case.returned", {}
        case events.RouteRenamed():
            return "route.renamed", {"old": before.route}


def _is_waiting_for(case: Case, reason: Reason) -> bool:
    """Whether a case waits for just this already: it is said once."""
    return case.wait is not None and case.wait.reason.code == reason.code


def _reason(reason: Reason) -> dict[str, Any]:
    """A reason for the log: its words without the names, which stay in the building."""
    words = explain(Reason(reason.code, reason.facts))
    return {"reason": reason.code, "plain": words.plain, "detail": words.detail}


def _settled(case: Case) -> dict[str, Any]:
    seen = case.seen
    seconds = round((case.settled or 0) - case.found, 1)
    return {
        "files": seen.files if seen else 0,
        "bytes": seen.bytes if seen else 0,
        "seconds": seconds,
    }


def _uploaded(pk: str, case: Case) -> dict[str, Any]:
    upload = next(upload for upload in case.uploads if upload.pk == pk)
    seconds = round(case.touched - upload.created, 3)
    facts = {"bytes": upload.size, "seconds": seconds}
    return {"socket": upload.socket, "upload": upload.pk, **facts}


def _files_uploaded(uploads: Sequence[Upload]) -> dict[str, Any]:
    size = sum(upload.size for upload in uploads)
    return {"socket": uploads[0].socket, "files": len(uploads), "bytes": size}


def _submission(case: Case) -> dict[str, Any]:
    return {KIND_NAMES[case.kind].product_key: case.submission.pk if case.submission else ""}


def _succeeded(case: Case, outputs: int) -> News:
    since = case.submission.submitted if case.submission else case.found
    facts = {**_submission(case), "seconds": round(case.touched - since, 1)}
    if case.kind == "algorithm":
        return "job.succeeded", {**facts, "outputs": outputs}
    return "import.succeeded", {**facts, "images": len(case.images)}


def _running(before: Case, event: events.StillRunning, after: Case) -> News | None:
    what = "job" if after.kind == "algorithm" else "import"
    facts = {**_submission(after), "status": event.status}
    if event.stalled and after.wait is not None and not _is_waiting_for(before, after.wait.reason):
        hours = after.wait.reason.facts["hours"]
        return f"{what}.stalled", {**facts, "hours": hours}
    if event.status == before.status:
        return None
    if event.status not in STATUSES:
        return "platform.unknown_status", {"status": event.status}
    return f"{what}.status_changed", facts


def _delivered(case: Case) -> dict[str, Any]:
    return {
        "files": len(case.fetched),
        "bytes": sum(file.size for file in case.fetched),
        "seconds": round(case.touched - case.found, 1),
    }


def _faltered(before: Case, reason: Reason, after: Case) -> News:
    """The last straw is told as the failure that it is."""
    if after.failure is not None and before.failure is None:
        return "case.failed", _reason(reason)
    facts = {"step": checklist.next_step(after), "attempt": after.attempts}
    return "case.faltered", {**_reason(reason), **facts}
