"""What is said of a folder that changed after its case was delivered."""

from collections.abc import Iterator

from gcwatch.core.case import Case, Snapshot
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, readable_name
from gcwatch.wording.failure_note import retry_by_file


def late_change_reason(case: Case) -> Reason | None:
    """Given a case, return in which way its folder changed after the delivery; None if not."""
    if case.late is None or case.seen is None:
        return None
    before, now = case.seen, case.late.snapshot
    if now.digest == before.digest and not case.late.replaced:
        return None
    if case.item:
        return Reason("item_changed", {"item": case.item})
    facts = {
        "difference": describe_difference(before, now),
        "files": now.files,
        "bytes": now.bytes,
        "sent_files": before.files,
        "sent_bytes": before.bytes,
    }
    return Reason("changed_late", facts)


def describe_difference(before: Snapshot, now: Snapshot) -> str:
    """Given a folder's snapshot before and its snapshot now, return what differs.

    `now` must have been taken with `before`, so that it has the number of changed files.
    """
    return " and ".join(_differences(before, now)) or "other files, or other names of files"


def _differences(before: Snapshot, now: Snapshot) -> Iterator[str]:
    more = now.files - before.files
    if more > 0:
        yield f"{count_noun(more, 'file')} more"
    elif more < 0:
        yield f"{count_noun(-more, 'file')} fewer"
    changed = now.changing - max(more, 0)
    if changed > 0:
        yield f"{count_noun(changed, 'file')} changed or replaced"


def change_note_text(case: Case, *, operator_files: bool = False) -> str:
    """Given a delivered case whose folder has changed, return the text of `<folder>.changed.txt`.

    The first part has no jargon and no commands. `operator_files` is as for a failure note.
    """
    reason = late_change_reason(case)
    assert reason is not None, "only a folder that changed has this note"
    words = explain(reason)
    lines = [
        words.plain,
        "",
        f"What to do: {words.advice}",
        "",
        "For IT:",
        f"  {words.detail}",
        f"  {words.hint}",
        f"  The results are in {readable_name(case.result)}, beside this note.",
        f"  Case {case.key}; its history: gcwatch show {case.key}",
        f"  To send what is there now: gcwatch retry {case.key}",
    ]
    if operator_files:
        lines.append(f"  {retry_by_file(case)}")
    return "\n".join([*lines, ""])
