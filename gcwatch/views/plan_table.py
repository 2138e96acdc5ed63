"""`gcwatch plan`: what would happen to each folder, as a table."""

from collections import Counter

from rich.console import Group
from rich.text import Text

from gcwatch.commands.plan import FolderPlan, PlannedUpload, RoutePlan, Verdict
from gcwatch.core.reasons import explain
from gcwatch.core.text import count_noun, data_size, printable_name
from gcwatch.views.terminal import plain_table

_VERDICTS = {
    "send": ("→", "green"),
    "refuse": ("✗", "bold red"),
    "wait": ("…", "yellow"),
    "under way": ("▸", "cyan"),
    "done": ("·", "dim"),
    "empty": ("·", "dim"),
}


def route_plan_table(planned: RoutePlan) -> Group:
    """Given the plan of a route, return it as a table and a sentence."""
    table = plain_table("", "folder", "stage", "what would happen")
    for folder in planned.folders:
        if folder.verdict == "done":
            continue
        mark, style = _VERDICTS[folder.verdict]
        name = Text(printable_name(folder.name))
        table.add_row(Text(mark, style), name, Text(_stage(folder)), Text(_outcome(folder)))
    source = f": items of the archive {planned.source}" if planned.source else ""
    heading = Text(f"route {planned.route}{source}", "bold")
    words = map(explain, planned.unused)
    rows = [table] if table.row_count else []
    beside = [Text(f"{each.plain} {each.detail} {each.hint}") for each in words]
    return Group(heading, *rows, Text(_summary(planned)), *beside, Text())


def _stage(folder: FolderPlan) -> str:
    return folder.stage or folder.verdict


def _outcome(folder: FolderPlan) -> str:
    if folder.reason is not None:
        words = explain(folder.reason)
        return f"{printable_name(words.detail)} {words.hint}".strip()
    if folder.verdict == "empty":
        return "has no files: not a case yet"
    if folder.verdict in {"under way", "done"}:
        return f"case {folder.case}"
    if folder.verdict == "wait":
        return "is changing at this moment"
    parts = [f"{upload.socket}: {_content(upload)}" for upload in folder.parcels]
    if folder.left_out:
        parts.append(f"{count_noun(folder.left_out, 'file')} left out")
    if folder.why:
        parts.append(folder.why)
    parts += [printable_name(explain(reason).detail.rstrip(".")) for reason in folder.not_taken]
    parts += [f"warning: {printable_name(explain(reason).detail)}" for reason in folder.warnings]
    return "; ".join(parts)


def _content(upload: PlannedUpload) -> str:
    if upload.is_reused:
        return "an image that is on the platform already"
    if upload.carrier == "value":
        return "a value"
    each = ", one upload each" if upload.carrier == "dicom" else ""
    return f"{count_noun(upload.files, 'file')}, {data_size(upload.bytes)}{each}"


def _because(planned: RoutePlan, verdict: Verdict) -> str:
    """Return why folders have a verdict: each reason once, the most frequent first."""
    plain = Counter(
        explain(folder.reason).plain.rstrip(".") if folder.reason else "It is changing"
        for folder in planned.folders
        if folder.verdict == verdict
    )
    if len(plain) == 1:
        return f'"{next(iter(plain))}"'
    return " and ".join(f'"{words}" ({count})' for words, count in plain.most_common())


def _summary(planned: RoutePlan) -> str:
    if planned.away is not None:
        return explain(planned.away).detail
    counts = (
        (
            planned.count("send"),
            f"would be sent to {planned.kind.replace('_', ' ')} {planned.target}",
        ),
        (planned.count("refuse"), f"would be refused because {_because(planned, 'refuse')}"),
        (planned.count("wait"), f"would wait because {_because(planned, 'wait')}"),
        (planned.count("under way"), "under way"),
        (planned.count("done"), "done before"),
        (planned.count("empty"), "empty"),
    )
    parts = [f"{count} {what}" for count, what in counts if count]
    found = ", ".join([f"Found {count_noun(len(planned.folders), 'case')}", *parts])
    loose = "folder" if planned.cases == "files" else "file"
    beside = [
        f"{count_noun(count, what)} beside them ignored"
        for count, what in ((planned.loose, loose), (planned.links, "link"))
        if count
    ]
    return "; ".join([found, *beside]) + "."
