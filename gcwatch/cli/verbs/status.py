"""`status` and `show`: the commands that show where cases are, from the journal."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from gcwatch.api import Watch, open_watch
from gcwatch.cli.case_names import find
from gcwatch.cli.options import Config, Json, chosen, flag
from gcwatch.cli.signals import stoppable
from gcwatch.commands.status import Overview, StatusFollower, read_overview, view_of_case
from gcwatch.core.case import Case
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.core.text import printable_name
from gcwatch.outbox.notes import find_failure_notes
from gcwatch.views.case_history import case_history
from gcwatch.views.links import knows_links
from gcwatch.views.status_table import live_status, status_lines, status_tables
from gcwatch.views.terminal import console, print_json
from gcwatch.wording import case_view

_REFRESH_SECONDS = 1.0


# --- status --------------------------------------------------------------------------------------


def status(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    follow: Annotated[bool, flag("--follow", "Keep showing changes until Ctrl-C.")] = False,
) -> None:
    """Show every open case: its stage, since when, and why it waits; failures and warnings."""
    file = chosen(context, config)
    if follow:
        _follow(file, as_json=as_json)
        return
    with open_watch(file, begun=True) as watch:
        seen = read_overview(watch)
    if as_json:
        print_json(seen.record())
    else:
        screen = console()
        screen.print(status_tables(seen, clickable=knows_links(screen)), crop=False)


def _follow(file: Path | None, *, as_json: bool) -> None:
    """Show the status every second: on a terminal in place, else only what has changed."""
    screen = console()
    with closing(StatusFollower(file)) as follower, stoppable() as stop:
        if screen.is_terminal and not screen.is_dumb_terminal and not as_json:
            with Live(console=screen, auto_refresh=False) as drawn:
                while True:
                    drawn.update(live_status(follower.read(), screen.height), refresh=True)
                    if stop.wait(_REFRESH_SECONDS):
                        return
        before: Overview | None = None
        while not stop.is_set():
            now = follower.read()
            if before is None or now.without_times() != before.without_times():
                _print_changes(before, now, follower, screen, as_json=as_json)
            before = now
            stop.wait(_REFRESH_SECONDS)


def _print_changes(
    before: Overview | None,
    now: Overview,
    follower: StatusFollower,
    screen: Console,
    *,
    as_json: bool,
) -> None:
    if as_json:
        typer.echo(json.dumps(now.record()))
        return
    listed = {view.case for view in now.views}
    gone = [view.case for view in before.views if view.case not in listed] if before else []
    for line in status_lines(before, now, follower.views(gone)):
        screen.print(line, soft_wrap=True)


# --- show ----------------------------------------------------------------------------------------


def show(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="A key, route/key or route/folder.")],
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Show the history of one case: what happened when, and why it waits or failed."""
    with open_watch(chosen(context, config), begun=True) as watch:
        found = find(watch, case)
        view = view_of_case(watch, found)
        history = list(case_view.history_lines(found.key, watch.history(found)))
        files = _files_about(watch, found)
    if as_json:
        see = [printable_name(str(file)) for file in files]
        print_json({**asdict(view), "see": see, "history": [asdict(each) for each in history]})
    else:
        screen = console()
        shown = case_history(view, history, files, clickable=knows_links(screen))
        screen.print(shown, crop=False)


def _files_about(watch: Watch, case: Case) -> Sequence[Path]:
    """Return the files that explain a case: its receipt, or its failure note."""
    routes = [route for route in watch.settings.routes if route.name == case.route]
    if case.ending == "failed":
        return [note for route in routes for note in find_failure_notes(route.outbox, case.folder)]
    return [route.outbox / case.result / RECEIPT_NAME for route in routes if case.result]
