"""What events make of a case: only `apply_event` adds facts.

Applied to all events of a case in order, it gives the case as it is now (`fold_events`).
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, assert_never

from gcwatch.core import events
from gcwatch.core.case import (
    Attempt,
    Case,
    CommandState,
    LateChange,
    Snapshot,
    Submission,
    Target,
    Upload,
    Wait,
    wait_end,
)
from gcwatch.core.checklist import Step
from gcwatch.core.events import Event
from gcwatch.core.reasons import CATALOGUE, Reason
from gcwatch.core.text import iso_time


def new_case(key: str, event: events.FolderFound, now: float) -> Case:
    """Given the event of a new folder, return its case."""
    return Case(
        key=key,
        route=event.route,
        folder=event.folder,
        found=now,
        touched=now,
        even_if_same=event.even_if_same,
    )


def fold_events(key: str, history: Iterable[tuple[float, Event]]) -> Case:
    """Given the events of a case with their times, the first a `FolderFound`, return the case."""
    recorded = iter(history)
    at, found = next(recorded)
    if not isinstance(found, events.FolderFound):
        raise TypeError(found)
    case = new_case(key, found, at)
    for at, event in recorded:
        case = apply_event(case, event, at)
    return case


def _advance(case: Case, now: float, **facts: Any) -> Case:
    """Add facts, and end the waiting and the count of failed tries."""
    return replace(case, touched=now, attempts=0, wait=None, **facts)


def _start_over(case: Case, now: float, **facts: Any) -> Case:
    """Forget what was planned and sent; keep what the folder looked like."""
    return _advance(
        case,
        now,
        settled=None,
        inputs=None,
        target=None,
        uploads=(),
        sessions={},
        attempt=None,
        warnings=(),
        not_taken=(),
        row="",
        item="",
        content="",
        **facts,
    )


def _changed(case: Case, event: events.FolderChanged, now: float) -> Case:
    """The folder settles again. Remember since when the same temporary file is waited for."""
    before = case.seen.copies if case.seen else None
    copies = event.snapshot.copies
    is_same = before is not None and copies is not None and before.name == copies.name
    since = (case.copying if is_same else now) if copies else None
    return _start_over(
        case, now, seen=event.snapshot, changed=now, quiet_since=event.uptime, copying=since
    )


def _retry(case: Case, now: float) -> Case:
    """A closed case starts a new round; an open case becomes due now."""
    if case.is_open:
        return _advance(case, now)
    return Case(
        key=case.key,
        route=case.route,
        folder=case.folder,
        found=case.found,
        touched=now,
        round=case.round + 1,
        submission=_empty_again(case),
        request=case.request,
    )


def _retry_as_asked(case: Case, event: events.Retried, now: float) -> Case:
    """Note who asked, and whether it is sent although another folder has the same content."""
    waits_for_twin = case.wait is not None and case.wait.reason.code == "same_images_under_way"
    asked = event.even_if_same and (waits_for_twin or not case.is_open)
    return replace(
        _retry(case, now),
        request=event.request or case.request,
        even_if_same=asked or (case.is_open and case.even_if_same),
    )


def _still_in_doubt(case: Case) -> Attempt | None:
    """Keep only the doubt whether an empty item was made: that call needs no uploads."""
    makes_item = case.kind != "algorithm" and case.submission is None
    return case.attempt if makes_item else None


def _empty_again(case: Case) -> Submission | None:
    """Keep a display set or archive item, to be filled again; a job is never used again."""
    if case.submission is None or case.kind == "algorithm":
        return None
    return replace(case.submission, filled=False)


def _planned(case: Case, event: events.Planned, now: float) -> Case:
    """Keep an earlier submission only if it belongs to this target."""
    kept = case.submission if _belongs(case.submission, event.target) else None
    return _advance(
        case,
        now,
        inputs=event.inputs,
        target=event.target,
        submission=kept,
        pseudonym=event.pseudonym,
        not_taken=event.not_taken,
        row=event.row,
        item=event.item,
    )


def _belongs(submission: Submission | None, target: Target) -> bool:
    return submission is not None and submission.parent == target.api_url


def _submitted(case: Case, event: events.Submitted, now: float) -> Case:
    parent = case.target.api_url if case.target else ""
    made = Submission(event.pk, event.url, now, parent, event.filled)
    attempt = case.attempt if event.filled else None  # to fill it is another call
    return _advance(case, now, submission=made, attempt=attempt)


def _adopted(case: Case, event: events.Adopted, now: float) -> Case:
    made = Submission(event.pk, event.url, now, event.target.api_url)
    return _advance(
        case,
        now,
        ending="delivered",
        result=event.folder,
        adopted=event.receipt,
        target=event.target,
        submission=made,
        command=CommandState(now) if event.command else None,
    )


def _filled(case: Case, now: float) -> Case:
    assert case.submission is not None, "only what exists is filled"
    return _advance(case, now, submission=replace(case.submission, submitted=now, filled=True))


def _falter(case: Case, event: events.AttemptFailed, now: float) -> Case:
    """Count the failed try; after `patience` tries the case fails with this reason."""
    attempts = case.attempts + 1
    attempt = None if event.undone else case.attempt
    patience = CATALOGUE[event.reason.code].patience
    if case.failure is None and patience is not None and attempts >= patience:
        # The failure note is written at once, without one more pause.
        return _advance(case, now, failure=event.reason, attempt=attempt)
    wait = Wait(event.reason, until=0.0)
    return replace(case, touched=now, attempts=attempts, wait=wait, attempt=attempt)


def _completed(case: Case, event: events.UploadCompleted) -> tuple[Upload, ...]:
    return tuple(
        replace(upload, completed=True, sha256=event.sha256) if upload.pk == event.pk else upload
        for upload in case.uploads
    )


def _begun(case: Case, event: events.UploadStarted) -> tuple[Upload, ...]:
    """The new upload of a socket replaces an earlier one that the platform lost."""
    others = tuple(upload for upload in case.uploads if upload.socket != event.upload.socket)
    return (*others, event.upload)


def _running(case: Case, event: events.StillRunning, now: float) -> Case:
    """Record the status, also an unchanged one: the time of this poll sets the next one."""
    hours = round((now - case.submission.submitted) / 3600) if case.submission else 0
    url = case.submission.url if case.submission else ""
    code = "job_stalled" if case.kind == "algorithm" else "import_stalled"
    stalled = Reason(code, {"status": event.status, "hours": hours, "url": url})
    wait = Wait(stalled, until=0.0) if event.stalled else None
    return replace(case, touched=now, attempts=0, status=event.status, wait=wait)


def _late_change_told(case: Case, late: LateChange, *, is_same: bool) -> Case:
    """A folder that is as it was sent is no longer late; its files may have other change times."""
    is_back = case.seen is not None and late.snapshot.digest == case.seen.digest
    if is_same or (is_back and not late.replaced):
        return replace(case, seen=late.snapshot, late=None)
    return replace(case, late=replace(late, told=True))


def _changed_late(case: Case, late: LateChange, event: Event, now: float) -> Case:
    """A case whose folder changed after delivery waits until the note says so."""
    match event:
        case events.FolderChangedLate(snapshot):
            return replace(case, late=replace(late, snapshot=snapshot), gone=False)
        case events.LateChangeTold(digest, is_same) if digest == late.snapshot.digest:
            return replace(_late_change_told(case, late, is_same=is_same), attempts=0, wait=None)
        case events.AttemptFailed(reason):
            late, wait = replace(late, at=now), Wait(reason, until=0.0)
            return replace(case, late=late, attempts=case.attempts + 1, wait=wait)
        case events.Postponed(reason, seconds):
            return replace(case, wait=Wait(reason, wait_end(now, seconds)))
        case _:  # also what was told of a folder that has changed again meanwhile
            return case


def _closed(case: Case, event: Event, now: float) -> Case:
    """A closed case changes only with its folder, its route's name, or by `gcwatch retry`."""
    match event:
        case events.Retried():
            return _retry_as_asked(case, event, now)
        case events.FolderChangedLate(snapshot) if case.late is None:
            return replace(case, seen=snapshot, gone=False)
        case events.DeliveredFolderChanged(seen, uptime, replaced) if case.ending == "delivered":
            late = LateChange(seen, now, quiet_since=uptime, replaced=replaced)
            return replace(case, late=late, attempts=0, wait=None, gone=False)
        case events.FolderCorrected(snapshot) if case.ending == "failed":
            return replace(_retry(case, now), seen=snapshot)
        case events.FolderRemoved() | events.FolderVanished():
            return replace(case, gone=True)
        case events.FolderReturned():
            return replace(case, gone=False)
        case events.FolderRenamed(folder, snapshot):
            return _seen_under(_warned_of_name(case, folder), snapshot)
        case events.RouteRenamed(route):
            return replace(case, route=route)
        case _ if case.late is not None:
            return _changed_late(case, case.late, event, now)
        case _:
            return case


def _follow_command(case: Case, command: CommandState, event: Event, now: float) -> Case | None:
    """Given a delivered case with a command to run, return what follows; None if nothing does."""
    match event:
        case events.Retried(request):
            return replace(case, command=CommandState(now), request=request or case.request)
        case events.CommandCompleted() | events.CommandDropped():
            return replace(case, command=None)
        case events.CommandFailed(reason):
            return replace(case, command=_command_failed(command, reason, now))
        case events.AttemptFailed(reason) if reason.facts.get("step") == Step.COMMAND:
            return replace(case, command=_command_failed(command, reason, now))
        case _:
            return None


def _command_failed(command: CommandState, reason: Reason, now: float) -> CommandState:
    """Count the failed try; after `patience` tries in a row nothing more is tried by itself."""
    is_same = command.problem is not None and command.problem.code == reason.code
    attempts = command.attempts + 1 if is_same else 1
    patience = CATALOGUE[reason.code].patience
    given_up = patience is not None and attempts >= patience
    return CommandState(now, attempts, reason, given_up)


def _seen_under(case: Case, snapshot: Snapshot) -> Case:
    """A case's folder is there again; what it looked like when it was sent stays known."""
    if case.late is not None:
        return replace(case, late=replace(case.late, snapshot=snapshot), gone=False)
    return replace(case, seen=snapshot, gone=False)


def _warned_of_name(case: Case, folder: str) -> Case:
    """Given a closed case, return it with its folder's new name, and a warning that tells so."""
    code = "folder_renamed"
    earlier = next((each.names["before"] for each in case.warnings if each.code == code), "")
    before = earlier or case.folder
    facts = {"ending": case.ending, "date": iso_time(case.touched)[:10]}
    names = {"before": before, "folder": folder}
    others = tuple(each for each in case.warnings if each.code != code)
    more = (Reason(code, facts, names),) if folder != before else ()
    return replace(case, folder=folder, warnings=(*others, *more))


def apply_event(case: Case, event: Event, now: float) -> Case:  # noqa: C901, PLR0912 -- one match is the point
    """Given a case, an event and its time, return the case with the facts that the event adds."""
    if not case.is_open:
        after = _follow_command(case, case.command, event, now) if case.command else None
        return after or _closed(case, event, now)
    match event:
        case events.FolderChanged():
            return _changed(case, event, now)
        case events.FolderSettled():
            return _advance(case, now, settled=now)
        case events.FolderVanished():
            # A folder of that name that comes later is a new case: nothing of it was sent.
            return _advance(case, now, ending="withdrawn", gone=True, seen=None)
        case events.Planned():
            return _planned(case, event, now)
        case events.ContentIdentified(digest):
            return _advance(case, now, content=digest)
        case events.UploadStarted():
            return _advance(case, now, uploads=_begun(case, event))
        case events.UploadResumed():
            return replace(
                case, touched=now, wait=None
            )  # no success yet: the count of tries goes on
        case events.UploadCompleted():
            return _advance(case, now, uploads=_completed(case, event))
        case events.FilesUploaded(uploads):
            return _advance(case, now, uploads=(*case.uploads, *uploads))
        case events.UploadsExpired():
            return _advance(case, now, uploads=(), sessions={}, attempt=_still_in_doubt(case))
        case events.SessionCreated(socket, session):
            return _advance(case, now, sessions={**case.sessions, socket: session})
        case events.SubmissionAttempted(jobs, images, uptime):
            made = Attempt(now, jobs, images, uptime)
            return replace(case, touched=now, wait=None, attempt=made)
        case events.Submitted():
            return _submitted(case, event, now)
        case events.ItemFilled():
            return _filled(case, now)
        case events.StillRunning():
            return _running(case, event, now)
        case events.WarningFound(reason):
            known = reason in case.warnings
            return case if known else replace(case, warnings=(*case.warnings, reason))
        case events.Succeeded(outputs, images):
            return _advance(case, now, outputs=outputs, images=images)
        case events.OutputFetched(files):
            return _advance(case, now, fetched=(*case.fetched, *files))
        case events.Delivered(folder, source, has_command):
            gone = source in {"moved", "deleted"}
            command = CommandState(now) if has_command else None
            return _advance(
                case, now, ending="delivered", result=folder, gone=gone, command=command
            )
        case events.Adopted():
            return _adopted(case, event, now)
        case events.Rejected(reason):
            return _advance(case, now, failure=reason)
        case events.FailureReported():
            return _advance(case, now, ending="failed")
        case events.AttemptFailed():
            return _falter(case, event, now)
        case events.Postponed(reason, wait, undone):
            attempt = None if undone else case.attempt
            until = wait_end(now, wait)
            return replace(case, touched=now, wait=Wait(reason, until), attempt=attempt)
        case events.Retried():
            return _retry_as_asked(case, event, now)
        case events.Withdrawn(request):
            return _advance(case, now, ending="withdrawn", request=request or case.request)
        case events.FolderRenamed(folder, snapshot):
            return replace(case, folder=folder, seen=snapshot)
        case events.RouteRenamed(route):
            return replace(case, route=route)
        case (
            events.FolderFound()
            | events.FolderChangedLate()
            | events.DeliveredFolderChanged()
            | events.LateChangeTold()
            | events.FolderCorrected()
            | events.FolderRemoved()
            | events.FolderReturned()
            | events.CommandCompleted()
            | events.CommandFailed()
            | events.CommandDropped()
        ):
            return case
        case _:
            assert_never(event)
