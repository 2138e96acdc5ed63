"""Checks across keys, routes and mirrors: mostly, that folders do not overlap."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from gcwatch.config.messages import Mistake, table_label
from gcwatch.config.model import state_folder
from gcwatch.config.values.types import absolute_path, is_within
from gcwatch.config.work_table import this_host
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.receipt import CHANGE_NOTE, FAILURE_NOTE


@dataclass(frozen=True)
class _FolderUses:
    """The real paths of the folders of a route or mirror; None where its table has none.

    `done` is the folder to which it moves folders; `report` is a route's status file.
    """

    kind: str
    index: int
    table: Mapping[str, Any]
    inbox: Path | None
    outbox: Path | None
    done: Path | None
    report: Path | None

    @property
    def label(self) -> str:
        return table_label(self.index, self.table, self.kind)

    @property
    def name(self) -> Any:
        return self.table.get("name")

    @property
    def source_archive(self) -> Any:
        source = self.table.get("source")
        return source.get("archive") if isinstance(source, dict) else None

    @property
    def target(self) -> tuple[Any, ...]:
        return tuple(self.table.get(key) for key in KIND_NAMES)

    def wrong(self, key: str, message: str, hint: str) -> Mistake:
        return Mistake((self.kind, self.index, key), message, hint)


def find_clashes(
    data: Mapping[str, Any], folder: Path, *, needs_work: bool = True
) -> list[Mistake]:
    """Return all clashes between keys; ignore keys that are wrong by themselves.

    With *needs_work*, a config without routes and mirrors is a mistake.
    """
    places, mirrors = _all_places("route", data, folder), _all_places("mirror", data, folder)
    state = (
        _real(data["state"], folder)
        if "state" in data
        else Path(os.path.realpath(state_folder(None)))
    )
    found = list(_emptiness(data)) if needs_work else []
    for one in (*places, *mirrors):
        found += _own_clashes(one)
        found += _state_clashes(one, state)
        found += _host_clashes(one, state, is_shared="journal" in data)
    for one, other in combinations(places, 2):
        found += _same_source(one, other)
    for one, other in combinations((*places, *mirrors), 2):
        found += _pair_clashes(one, other)
        found += _outbox_clashes(one, other)
        found += _outbox_clashes(other, one)
    for route in places:
        found += _target_clashes(route)
        found += _source_clashes(route)
        found += _table_clashes(route, places)
        found += _report_clashes(route, (*places, *mirrors), state)
    for mirror in mirrors:
        found += _target_clashes(mirror)
        found += [each for route in places for each in _chain_clashes(mirror, route)]
        found += [each for other in (*places, *mirrors) for each in _keep_clashes(mirror, other)]
    found += _metrics_clashes(data.get("metrics"), folder, (*places, *mirrors))
    if "journal_password_file" in data and "journal" not in data:
        message, hint = "is for a journal in a database", "write journal, or remove this key"
        found.append(Mistake(("journal_password_file",), message, hint))
    return found + _circles(places)


def _metrics_clashes(
    table: Any, folder: Path, everyone: Sequence[_FolderUses]
) -> Iterator[Mistake]:
    """Refuse a file of metrics among cases or results."""
    textfile = _real(table.get("textfile"), folder) if isinstance(table, dict) else None
    for other in everyone:
        if any(is_within(textfile, each) for each in (other.inbox, other.outbox, other.done)):
            message = f"lies inside a folder of {other.label}"
            hint = "use the folder that node_exporter reads (--collector.textfile.directory)"
            yield Mistake(("metrics", "textfile"), message, hint)


def _target_clashes(one: _FolderUses) -> Iterator[Mistake]:
    """A route has exactly one target, and a mirror is a copy of exactly one place."""
    keys = ("archive", "reader_study", "algorithm") if one.kind == "mirror" else (*KIND_NAMES,)
    given = [key for key in keys if key in one.table]
    what = "what is to be copied" if one.kind == "mirror" else "the target"
    hint = f"name {what}: {', '.join(keys[:-1])} or {keys[-1]}"
    if not given:
        yield one.wrong(keys[0], "is missing", hint)
    for key in given[1:]:
        yield one.wrong(key, f"can't be used beside {given[0]}", f"{hint}, just one of them")
    if (
        one.kind == "mirror"
        and given in (["reader_study"], ["algorithm"])
        and one.table.get("layout", "items") != "items"
    ):
        message = "is for archives only: answers and results need folders"
        yield one.wrong("layout", message, 'write layout = "items", or remove layout')


_OF_AN_INBOX = (
    *("inbox", "cases", "settle", "ready", "expect", "pseudonyms", "cases_table"),
    *("after", "done", "only", "changed", "reuse", "ignore", "integrity", "leftovers"),
    *("deidentify", "unscrubbed", "burned_in", "blank"),
)
"""Keys that have no meaning for items of an archive."""


def _source_clashes(route: _FolderUses) -> Iterator[Mistake]:
    """A route has an inbox, or an archive whose items are the cases."""
    if "source" not in route.table:
        if "inbox" not in route.table:
            hint = 'name the folder, or the archive on the platform: source = { archive = "slug" }'
            yield route.wrong("inbox", "is missing", hint)
        return
    for key in _OF_AN_INBOX:
        if key in route.table:
            hint = f"remove {key}, or write an inbox in place of source"
            yield route.wrong(key, "is for the folders of an inbox", hint)
    if route.source_archive and route.source_archive == route.table.get("archive"):
        message = "is the archive to which the route sends: each new item would be a case again"
        yield route.wrong("source", message, "send to another archive")


def _same_source(one: _FolderUses, other: _FolderUses) -> Iterator[Mistake]:
    """Refuse two routes that send the items of one archive to one target."""
    is_same = one.source_archive == other.source_archive
    if one.source_archive and is_same and one.target == other.target:
        message = f"has the archive and the target of {one.label}: items would be sent twice"
        yield other.wrong("source", message, "remove one of the two routes")


def _emptiness(data: Mapping[str, Any]) -> Iterator[Mistake]:
    if "route" not in data and "mirror" not in data:
        yield Mistake(("route",), "is missing", "Add a [[route]] table for each inbox.")


def _all_places(kind: str, data: Mapping[str, Any], folder: Path) -> list[_FolderUses]:
    """Return where the folders of all routes, or of all mirrors, are."""
    given = data.get(kind)
    tables = given if isinstance(given, list) else []
    return [_places(kind, i, t, folder) for i, t in enumerate(tables) if isinstance(t, dict)]


def _places(kind: str, index: int, table: Mapping[str, Any], folder: Path) -> _FolderUses:
    keys = ("inbox", "outbox", "done" if kind == "route" else "gone_to")
    inbox, outbox, done = (_real(table.get(key), folder) for key in keys)
    report = _absolute(table.get("report"), folder)
    # gcwatch replaces a link at this path and does not follow it.
    real = report and Path(os.path.realpath(report.parent), report.name)
    return _FolderUses(kind, index, table, inbox, outbox, done, real)


def _absolute(value: Any, folder: Path) -> Path | None:
    try:
        return absolute_path(value, folder)
    except PydanticCustomError:
        return None


def _real(value: Any, folder: Path) -> Path | None:
    path = _absolute(value, folder)
    return path and Path(os.path.realpath(path))


def _own_clashes(route: _FolderUses) -> Iterator[Mistake]:
    apart = "put the two side by side, such as in and out"
    if is_within(route.outbox, route.inbox):
        yield route.wrong("outbox", "lies inside its own inbox: results would be sent", apart)
    elif is_within(route.inbox, route.outbox):
        yield route.wrong("inbox", "lies inside its own outbox", apart)
    if is_within(route.done, route.inbox):
        message = "lies inside its own inbox: delivered folders would be sent again"
        yield route.wrong("done", message, "put it beside the inbox, on the same disk")


def _state_clashes(route: _FolderUses, state: Path | None) -> Iterator[Mistake]:
    for key, folder in (("inbox", route.inbox), ("outbox", route.outbox)):
        if is_within(state, folder):
            message = f"lies inside the {key} of {route.label}"
            hint = "use a folder on a local disk that nothing else uses: state = …"
            yield Mistake(("state",), message, hint)


def _host_clashes(one: _FolderUses, state: Path | None, *, is_shared: bool) -> Iterator[Mistake]:
    """Where hosts share a journal, what lies in a state directory is known to one of them only."""
    hosts = one.table.get("hosts")
    is_of_one = isinstance(hosts, list) and len(hosts) == 1
    is_local = "source" in one.table or any(
        is_within(each, state) for each in (one.inbox, one.outbox)
    )
    if is_shared and is_local and not is_of_one:
        message = "must name one host: its folders are in the state directory, which is not shared"
        yield one.wrong(
            "hosts", message, f'name the host that works on it: hosts = ["{this_host()}"]'
        )


def _pair_clashes(one: _FolderUses, other: _FolderUses) -> Iterator[Mistake]:
    if one.name == other.name and isinstance(one.name, str):
        message = f"is also the name of {one.kind} #{one.index + 1}"
        yield other.wrong("name", message, "use another name")
    if is_within(one.inbox, other.inbox) or is_within(other.inbox, one.inbox):
        message = f"overlaps with the inbox of {one.label}: folders would be sent twice"
        yield other.wrong("inbox", message, "give each route an inbox of its own")


def _outbox_clashes(giver: _FolderUses, taker: _FolderUses) -> Iterator[Mistake]:
    if is_within(giver.outbox, taker.inbox) and giver.outbox != taker.inbox:
        message = f"lies inside the inbox of {taker.label}, which would take it for a case"
        hint = "use that inbox itself, so that the routes form a chain, or another place"
        yield giver.wrong("outbox", message, hint)


def _table_clashes(route: _FolderUses, everyone: Sequence[_FolderUses]) -> Iterator[Mistake]:
    """Refuse a table that two routes write, or that is taken for a case."""
    for key in ("table", "cases_table"):
        if route.table.get(key) is not True or route.outbox is None:
            continue
        for other in everyone:
            is_same = other.outbox == route.outbox and other.index < route.index
            if is_same and other.table.get(key) is True:
                message = f"would be written by {other.label}, too, into the same outbox"
                yield route.wrong(key, message, "give each route an outbox of its own")
            if other.inbox == route.outbox and other.table.get("cases") == "files":
                message = f"would be a case of {other.label}, which takes files from this outbox"
                yield route.wrong(key, message, f"remove {key}")


def _chain_clashes(mirror: _FolderUses, route: _FolderUses) -> Iterator[Mistake]:
    """Refuse a route that spoils the mirror's folder from which it takes its cases."""
    if is_within(route.inbox, mirror.outbox) and route.inbox != mirror.outbox:
        message = f"lies inside the folder of {mirror.label}"
        yield route.wrong("inbox", message, "use that folder itself, or another place")
    if route.inbox is None or route.inbox != mirror.outbox:
        return
    if route.table.get("after", "keep") != "keep":
        message = f"removes folders that {mirror.label} would fetch again, for ever"
        yield route.wrong("after", message, 'write after = "keep", or remove after')
    is_flat = mirror.table.get("layout", "items") == "flat"
    takes_files = route.table.get("cases") == "files"
    if is_flat and not takes_files:
        message = f"makes no folders, but the cases of {route.label} are folders"
        yield mirror.wrong("layout", message, 'write layout = "items"')
    if takes_files and not is_flat:
        message = f"finds nothing in the folders of {mirror.label}"
        yield route.wrong(
            "cases", message, 'write cases = "folders" here, or layout = "flat" there'
        )


def _keep_clashes(mirror: _FolderUses, other: _FolderUses) -> Iterator[Mistake]:
    """Refuse a mirror's folder that overlaps with another outbox or with an inbox."""
    apart = "give the mirror a folder of its own"
    is_pair = other.kind == "route" or other.index > mirror.index
    if is_pair and (
        is_within(mirror.outbox, other.outbox) or is_within(other.outbox, mirror.outbox)
    ):
        yield mirror.wrong("outbox", f"overlaps with the outbox of {other.label}", apart)
    elsewhere = "use a folder that no route and no mirror uses"
    if is_within(mirror.done, other.inbox):
        message = f"lies inside the inbox of {other.label}: items that are gone would be sent"
        yield mirror.wrong("gone_to", message, elsewhere)
    elif is_within(mirror.done, other.outbox):
        yield mirror.wrong("gone_to", f"lies inside the outbox of {other.label}", elsewhere)


def _report_clashes(
    route: _FolderUses, everyone: Sequence[_FolderUses], state: Path | None
) -> Iterator[Mistake]:
    """Refuse a status file that is taken for a case or a result, or that is not seen."""
    report = route.report
    if report is None:
        return
    if report.name.startswith(".") or report.name.endswith((FAILURE_NOTE, CHANGE_NOTE)):
        yield route.wrong("report", "would not be seen as a status file", "name it status.txt")
    if is_within(report, state):
        yield route.wrong("report", "lies in the state directory, which is private", _BESIDE)
    for other in everyone:
        yield from _misplaced(route, report, other)


_BESIDE = "put it beside the route's inbox and outbox, or directly into either of them"


def _misplaced(route: _FolderUses, report: Path, other: _FolderUses) -> Iterator[Mistake]:
    """Return what is wrong with the place of a status file in view of one route or mirror."""
    is_own = other is route
    if report == other.report and other.index < route.index:
        yield route.wrong("report", f"is also that of {other.label}", "give each route its own")
    if is_within(report, other.inbox) and not (is_own and _is_beside_cases(report, other)):
        message = f"lies inside the inbox of {other.label}, which would take it for a case"
        yield route.wrong("report", message, _BESIDE)
    elif is_within(report, other.outbox) and not (is_own and report.parent == other.outbox):
        message = f"lies inside the folder of {other.label} for results"
        yield route.wrong("report", message, _BESIDE)
    elif is_within(report, other.done):
        message = f"lies inside the folder to which {other.label} moves folders"
        yield route.wrong("report", message, _BESIDE)


def _is_beside_cases(report: Path, route: _FolderUses) -> bool:
    """Whether a status file directly in an inbox is no case, because the folders are the cases."""
    return report.parent == route.inbox and route.table.get("cases") != "files"


def _circles(places: list[_FolderUses]) -> list[Mistake]:
    """Return the first route of each chain that is a circle: it would send for ever."""
    found = []
    for first in places:
        chain, here = [first], _next(first, places)
        while here is not None and here not in chain:
            chain.append(here)
            here = _next(here, places)
        if here is first and first.index == min(route.index for route in chain) and chain[1:]:
            message = "leads back to its own inbox: " + ", ".join(each.label for each in chain)
            hint = "the outbox of the last route must not be the inbox of another route"
            found.append(first.wrong("outbox", message, hint))
    return found


def _next(route: _FolderUses, places: list[_FolderUses]) -> _FolderUses | None:
    """Return the route whose inbox is this route's outbox."""
    takers = (each for each in places if each.inbox == route.outbox and each is not route)
    return next(takers, None) if route.outbox else None
