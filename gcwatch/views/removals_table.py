"""`gcwatch plan --show-removed`: what happens to each file, place by place."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Group
from rich.text import Text

from gcwatch.commands.removals import FileGroup, FolderRemovals, Progress
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import count_noun, printable_name
from gcwatch.imaging.inventory.parts import Action, Change
from gcwatch.views.terminal import console

_ACTIONS: tuple[tuple[Action, str], ...] = (
    ("removed", "red"),
    ("replaced", "yellow"),
    ("added", "cyan"),
    ("kept", "green"),
)
_CARRIERS = {
    "dicom": "a DICOM image set",
    "image": "an image",
    "file": "a file",
    "value": "a value",
}
_NAMED_FILES = 20
"""Files that stay here and are listed by name."""


@contextmanager
def removals_progress() -> Iterator[Progress]:
    """Show which file is compared; yield the function that gets this."""
    with console(stderr=True).status("") as drawn:

        def draw(where: str, number: int, files: int) -> None:
            what = f"file {number} of {files}" if files else "its files are read"
            drawn.update(Text(f"{printable_name(where)}: {what}"))

        yield draw


def removals_view(folder: FolderRemovals, *, values: bool) -> Group:
    """Given what happens to a folder's files, return it as lines; values only if asked for."""
    lines = [Text(f"{folder.route}/{printable_name(folder.name)}", "bold")]
    if folder.refused:
        lines.append(Text(f"  {_because(folder.refused)}"))
    for group in folder.groups:
        lines += _group_lines(group, values=values)
    lines += [Text(f"  {socket}: a value of the folder or the config") for socket in folder.values]
    lines += [Text(f"  {socket}: an image that is on the platform") for socket in folder.reused]
    lines += _not_sent_lines(folder)
    return Group(*lines, Text())


def _because(reason: Reason) -> str:
    words = explain(reason)
    return f"Nothing of it would be sent: {printable_name(words.detail)} {words.hint}".strip()


def _group_lines(group: FileGroup, *, values: bool) -> Iterator[Text]:
    names = printable_name(group.names[0]) + (", …" if len(group.names) > 1 else "")
    head = f"  {count_noun(len(group.names), 'file')} ({names})"
    if group.refused:
        yield Text(f"{head}: refused")
        yield Text(f"    {_because(group.refused)}")
        return
    carrier = _CARRIERS[group.carrier]
    yield Text(f"{head}: {group.form} for {group.socket}, which takes {carrier}")
    for action, style in _ACTIONS:
        changes = [each for each in group.changes if each.action == action]
        if changes:
            yield Text(f"    {action} ({len(changes)})", style)
            for change in changes:
                yield Text(f"      {_line(change, values=values)}")


def _line(change: Change, *, values: bool) -> str:
    count = f" ({change.count} times)" if change.count > 1 else ""
    value = f' was "{change.value}"' if values and change.value else ""
    by = f": {change.by}" if change.by else ""
    return f"{change.place}{count}{by}{value}"


def _not_sent_lines(folder: FolderRemovals) -> Iterator[Text]:
    shown = list(folder.not_sent.items())
    if shown:
        yield Text(f"  not sent: {count_noun(len(shown), 'file')}")
    for name, why in shown[:_NAMED_FILES]:
        yield Text(f"    {printable_name(name)}: {why}")
    if len(shown) > _NAMED_FILES:
        yield Text(f"    … and {count_noun(len(shown) - _NAMED_FILES, 'file')}")


def removals_record(folder: FolderRemovals) -> dict[str, Any]:
    """Given what happens to a folder's files, return it for programs, without values."""
    return {
        "route": folder.route,
        "folder": printable_name(folder.name),
        "refused": _reason_record(folder.refused),
        "groups": [_group_record(group) for group in folder.groups],
        "not_sent": {printable_name(name): why for name, why in folder.not_sent.items()},
        "values": list(folder.values),
        "reused": list(folder.reused),
    }


def _group_record(group: FileGroup) -> dict[str, Any]:
    record: dict[str, Any] = {
        "socket": group.socket,
        "carrier": group.carrier,
        "format": group.form,
        "files": [printable_name(name) for name in group.names],
        "refused": _reason_record(group.refused),
    }
    for action, _ in _ACTIONS:
        record[action] = [
            {"place": each.place, "count": each.count} | ({"by": each.by} if each.by else {})
            for each in group.changes
            if each.action == action
        ]
    return record


def _reason_record(reason: Reason | None) -> dict[str, str] | None:
    if reason is None:
        return None
    words = explain(reason)
    return {"code": reason.code, "plain": words.plain, "detail": words.detail, "hint": words.hint}
