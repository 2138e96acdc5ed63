"""Finds the case of a folder that has another name now.

A rename changes neither the files nor their change times (ctime), which no program can set. So a
folder whose files have the names, sizes and times of a known case is that case, if they are no
longer where they were.
"""

from gcwatch.config import Route
from gcwatch.core.case import Case, Snapshot
from gcwatch.core.checklist import stage
from gcwatch.core.errors import CaseError, SourceVanished
from gcwatch.inbox.layouts import Inbox, inbox_of
from gcwatch.journal.reader import JournalReader


def find_renamed_case(route: Route, name: str, journal: JournalReader) -> Case | None:
    """Given the name of an inbox entry, return the case that it had under another name, or None.

    Only a case that was sent or is being sent is found: what settles or has failed is a new case
    under its new name.
    """
    box = inbox_of(route)
    now = _look_at(box, name)
    if now is None:
        return None
    same = journal.cases_with_listing(route.name, now.digest)
    found = [case for case in same if case.folder != name and _is_moved(case, now, box)]
    return found[-1] if found else None


def _is_moved(case: Case, now: Snapshot, box: Inbox) -> bool:
    """Whether these are a case's very files, and no longer in its folder."""
    seen = case.last_seen
    if seen is None or stage(case) in {"settling", "failed", "reporting"}:
        return False
    # Old journals hold no change time of files (0).
    if not 0 < seen.latest == now.latest:
        return False
    there = _look_at(box, case.folder)
    return there is None or (there.digest, there.latest) != (now.digest, now.latest)


def _look_at(box: Inbox, name: str) -> Snapshot | None:
    """Return how a case's files look now; None if they can't be read, or are not there."""
    try:
        return box.snapshot_case(name)
    except (CaseError, SourceVanished):
        return None
