"""`gcwatch check`: whether everything that a config file names exists and fits together."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from gcwatch.commands.alert_check import alert_findings
from gcwatch.commands.finding import Cause, Finding
from gcwatch.commands.journal_check import journal_findings
from gcwatch.commands.platform_check import check_platform
from gcwatch.commands.share_probe import probe_share
from gcwatch.config import (
    Expected,
    Limits,
    Mirror,
    Route,
    Settings,
)
from gcwatch.core.clock import is_likely
from gcwatch.core.errors import (
    CannotSend,
    NotYet,
)
from gcwatch.core.reasons import explain
from gcwatch.core.tables.result_rows import fixed_columns
from gcwatch.core.text import count_noun, iso_time
from gcwatch.daemon.reporting.status_files import read_beginning
from gcwatch.files import file_systems
from gcwatch.inbox.case_tables import read_case_table
from gcwatch.journal.databases.sqlite import JOURNAL_FILE, MOVED_FILE, journal_problem
from gcwatch.journal.hosts.presence import running_daemon
from gcwatch.outbox.delivery_command import find_program
from gcwatch.outbox.table_file import looks_like_table
from gcwatch.outbox.tables import table_file
from gcwatch.steps.pseudonyms import read_table
from gcwatch.wording.status_facts import is_status_file


def check(
    settings: Settings, *, offline: bool = False, send_alert: bool = False
) -> Iterator[Finding]:
    """Given settings, check everything that they name.

    What gcwatch does in a folder is tried there in a probe folder, which is removed again. With
    *offline* the platform is not asked. With *send_alert* a test alert is sent.
    """
    yield Finding("config", "file", str(settings.file))
    state = _state(settings)
    yield state
    if state.is_fine:
        yield from _lacks("state", "folder", _existing(settings.state), is_state=True)
    if settings.journal is not None:
        yield from _left_journal(settings.state)
        yield from journal_findings(settings.journal)
    if not is_likely(time.time()):
        problem = f"the clock of this machine shows {iso_time(time.time())}"
        hint = "Set it, and let it be kept: timedatectl set-ntp true."
        yield Finding("machine", "clock", problem, "config", hint)
    for route in settings.routes:
        if settings.is_own(route):
            yield from _folders(route)
            yield from _privacy(route)
        else:
            yield _elsewhere(f"route {route.name}", route, settings.host)
    for mirror in settings.mirrors:
        if settings.is_own(mirror):
            yield from _mirror_folders(mirror)
        else:
            yield _elsewhere(f"mirror {mirror.name}", mirror, settings.host)
    yield from _limits(settings.limits)
    yield from alert_findings(settings, send=send_alert)
    yield from check_platform(settings, offline=offline)


def _elsewhere(where: str, work: Route | Mirror, host: str) -> Finding:
    """Say that this host does not work on a route or mirror."""
    detail = f"for {', '.join(work.hosts)}; this is {host}, where nothing is done for it"
    return Finding(where, "hosts", detail)


def _limits(limits: Limits) -> Iterator[Finding]:
    """Say how fast uploads may be at this moment, if they are limited."""
    if limits.upload:
        rate = limits.upload_rate()
        now = "not limited now" if rate is None else f"at most {rate * 8 / 1e6:g} Mbit/s now"
        yield Finding("limits", "upload", f"all uploads together: {now}")


# --- folders -------------------------------------------------------------------------------------


def _state(settings: Settings) -> Finding:
    state = settings.state
    kind = file_systems.network_file_system(state)
    if kind:
        hint = "Name a folder on a local disk: state = …"
        return Finding(
            "state", "folder", f"{state} is on {kind}, a network file system", "config", hint
        )
    if not _may_write(_existing(state)):
        hint = "Give the user that runs gcwatch the right to write there."
        return Finding("state", "folder", f"{state} can't be written", "config", hint)
    problem = journal_problem(state) if settings.journal is None else None
    if problem:
        return Finding("state", "journal", str(problem), "config", problem.hint)
    holder = running_daemon(state)
    busy = f" (used by process {holder})" if holder is not None else ""
    return Finding("state", "folder", f"{state}{busy}")


def _left_journal(state: Path) -> Iterator[Finding]:
    """Say if the state directory has a journal that was not copied to the database."""
    if (state / JOURNAL_FILE).exists() and not (state / MOVED_FILE).exists():
        told = f"{state} has a journal, too, which is not used"
        hint = "Bring what it knows into the database: gcwatch journal copy. Or move it away."
        yield Finding("state", "journal", told, "config", hint)


def _folders(route: Route) -> Iterator[Finding]:
    where = f"route {route.name}"
    inbox = _inbox(where, route)
    yield inbox
    if inbox.is_fine and route.after != "keep":
        yield from _lacks(where, "inbox", route.inbox)
    if route.pseudonyms is not None:
        yield _pseudonyms(where, route.pseudonyms)
    if route.expect is not None:
        yield _expected(where, route.expect)
    yield from _share(where, "outbox", route.outbox)
    if route.done is not None:
        yield from _share(where, "done", _existing(route.done))
        if inbox.is_fine and _device(_existing(route.done)) != _device(route.inbox):
            detail = "on another file system than the inbox: folders are copied there, then deleted"
            yield Finding(where, "done", detail)
    if route.on_delivered:
        yield _command(where, route.on_delivered[0])
    if route.report is not None:
        yield _report(where, route.report)
    if route.cases_table:
        yield _cases_table(where, route)
    if route.table and _writable(where, "outbox", route.outbox).is_fine:
        yield _table(where, route)


def _privacy(route: Route) -> Iterator[Finding]:
    """Say which images leave with names in them, because the route says so."""
    where = f"route {route.name}"
    if not route.deidentify:
        yield Finding(where, "deidentify", "images are sent as they are, with names in them")
        return
    if route.unscrubbed:
        formats = ", ".join(route.unscrubbed)
        detail = f"sent as they are, with names in headers and labels: {formats}"
        yield Finding(where, "unscrubbed", detail)
    if route.burned_in == "allow":
        yield Finding(where, "burned_in", "pictures that may show a name are sent")


def _pseudonyms(where: str, path: Path) -> Finding:
    try:
        table = read_table(path)
    except CannotSend as error:
        words = explain(error.reason)
        hint = "docs/privacy.md says how the table must look."
        return Finding(where, "pseudonyms", f"{path}: {words.detail}", "config", hint)
    count = count_noun(len(table.by_name), "row")
    return Finding(where, "pseudonyms", f"{path}: {count}, by {table.column}")


def _expected(where: str, expected: Expected) -> Finding:
    """Say how many files each case has to have; whether it has them is for `plan`."""
    what = expected.count
    number = f"{expected.number} {what}"
    if expected.file:
        number = f"as many {what} as {expected.file} in its folder says"
    return Finding(where, "expect", f"each case waits until it has {number}")


def _command(where: str, program: str) -> Finding:
    """Say whether the program of a route's command is there; it is not run."""
    found = find_program(program)
    if found is None:
        hint = "Write the full path of a program that the user of gcwatch may run."
        problem = f"{program} is no program that can be run"
        return Finding(where, "on_delivered", problem, "config", hint)
    return Finding(where, "on_delivered", f"{found} runs after each delivery")


def _report(where: str, path: Path) -> Finding:
    folder = _writable(where, "report", path.parent)
    if not folder.is_fine:
        return folder
    try:
        is_ours = is_status_file(read_beginning(path))
    except OSError as error:
        return Finding(where, "report", f"{path}: {error.strerror}", "config", "Name another file.")
    if not is_ours:
        hint = "Move it away, or name another file."
        return Finding(where, "report", f"{path} is not a status file of gcwatch", "config", hint)
    return Finding(where, "report", str(path))


def _cases_table(where: str, route: Route) -> Finding:
    try:
        table = read_case_table(route, settled=False)
    except NotYet as error:
        words = explain(error.reason)
        cause: Cause | None = "config" if error.reason.code == "cases_table_wrong" else None
        return Finding(where, "cases_table", words.detail, cause, words.advice)
    return Finding(where, "cases_table", f"cases.csv: {count_noun(len(table.rows), 'row')}")


def _table(where: str, route: Route) -> Finding:
    file, hint = table_file(route.outbox, route.kind), "Move it away, or give it another name."
    try:
        is_ours = looks_like_table(file, fixed_columns(route.kind))
    except OSError as error:
        return Finding(where, "table", f"{file}: {error.strerror}", "config", hint)
    if not is_ours:
        return Finding(where, "table", f"{file} is not a table of gcwatch", "config", hint)
    return Finding(where, "table", str(file))


def _mirror_folders(mirror: Mirror) -> Iterator[Finding]:
    where = f"mirror {mirror.name}"
    yield from _share(where, "outbox", mirror.outbox)
    if mirror.gone_to is not None:
        yield from _share(where, "gone_to", _existing(mirror.gone_to))


def _share(where: str, what: str, folder: Path) -> Iterator[Finding]:
    found = _writable(where, what, folder)
    yield found
    if found.is_fine:
        yield from _lacks(where, what, folder)


def _lacks(where: str, what: str, folder: Path, *, is_state: bool = False) -> Iterator[Finding]:
    """Try what gcwatch does in a folder, and say what its file system can't do."""
    for lack in probe_share(folder, is_state=is_state):
        cause: Cause | None = "config" if lack.hint else None
        yield Finding(where, what, f"{folder}: {lack.what}", cause, lack.hint)


def _device(folder: Path) -> int:
    return folder.stat().st_dev


def _inbox(where: str, route: Route) -> Finding:
    if route.source is not None:
        told = f"the items of the archive {route.source.archive}; no image is moved"
        return Finding(where, "source", told)
    inbox = route.inbox
    if not inbox.is_dir():
        hint = "Create it, or mount its share. Until then the route waits."
        return Finding(where, "inbox", f"{inbox} is not a folder", "config", hint)
    if not _may(inbox, os.R_OK | os.X_OK):
        hint = "Give the user that runs gcwatch the right to read it."
        return Finding(where, "inbox", f"{inbox} can't be read", "config", hint)
    if route.after != "keep" and not _may_write(inbox):
        hint = f'after = "{route.after}" moves or deletes folders: give the right to write there.'
        return Finding(where, "inbox", f"{inbox} can't be written", "config", hint)
    kind = file_systems.network_file_system(inbox)
    remark = f" (on {kind}: scanned every minute)" if kind else ""
    return Finding(where, "inbox", f"{inbox}{remark}")


def _writable(where: str, what: str, folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(where, what, f"{folder} is not a folder", "config", f"mkdir -p {folder}")
    if not _may_write(folder):
        hint = "Give the user that runs gcwatch the right to write there."
        return Finding(where, what, f"{folder} can't be written", "config", hint)
    return Finding(where, what, str(folder))


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest folder above it that exists."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def _may_write(folder: Path) -> bool:
    return _may(folder, os.R_OK | os.W_OK | os.X_OK)


def _may(folder: Path, mode: int) -> bool:
    return os.access(folder, mode, effective_ids=os.access in os.supports_effective_ids)
