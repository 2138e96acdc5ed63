"""`check`, `plan`, `status`, `show` and `schema`: the commands that only look."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from os.path import lexists
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

import gcwatch
from gcwatch import config as configuration
from gcwatch.cli.case_names import find
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, Offline, chosen, flag, stoppable
from gcwatch.commands import check as checking
from gcwatch.commands import plan as planning
from gcwatch.commands.check import Cause, Finding
from gcwatch.commands.status import Overview, StatusFollower, read_overview, view_of_case
from gcwatch.core.case import Case
from gcwatch.core.errors import ConfigError
from gcwatch.core.reasons import Reason
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.core.text import printable_name
from gcwatch.explain import case_view
from gcwatch.views.case_history import case_history
from gcwatch.views.check_table import findings_table
from gcwatch.views.plan_table import route_plan_table
from gcwatch.views.status_table import live_status, status_lines, status_tables
from gcwatch.views.terminal import console

_CODES: tuple[tuple[Cause, Exit], ...] = (
    ("token", Exit.TOKEN),
    ("platform", Exit.UNREACHABLE),
    ("config", Exit.CONFIG),
)
_SECOND = 1.0


def _print_json(record: Any) -> None:
    typer.echo(json.dumps(record, indent=2))


# --- check ---------------------------------------------------------------------------------------


def check(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    offline: Offline = False,
) -> None:
    """Check the config, the folders, the token, every slug and every input.

    Exit codes: 0 all is well, 78 mend the config or a folder, 77 the token, 69 no platform.
    """
    found = list(_findings(chosen(context, config), offline=offline))
    if as_json:
        rows = [{**asdict(each), "ok": each.is_fine} for each in found]
        _print_json({"ok": all(each.is_fine for each in found), "findings": rows})
    else:
        console().print(findings_table(found))
    raise typer.Exit(code_of(found))


def code_of(found: Sequence[Finding]) -> Exit:
    """Given findings, return the exit code that tells what has to be mended first."""
    causes = {each.cause for each in found}
    return next((code for cause, code in _CODES if cause in causes), Exit.DONE)


def _findings(file: Path | None, *, offline: bool) -> Iterator[Finding]:
    try:
        settings = configuration.load(configuration.find(file))
    except ConfigError as error:
        yield from checking.misread(error)
    else:
        yield from checking.check(settings, offline=offline)


# --- plan ----------------------------------------------------------------------------------------


def plan(context: typer.Context, config: Config = None, *, as_json: Json = False) -> None:
    """Tell what would be sent where, and what would be refused and why. Nothing is sent.

    The folders go through the daemon's own eyes, de-identification included; bundles are made in
    a temporary folder and thrown away.
    """
    settings = configuration.load(configuration.find(chosen(context, config)))
    screen = console()
    planned = []
    for route in planning.plan(settings):
        planned.append(route)
        if not as_json:
            screen.print(route_plan_table(route))
    if as_json:
        _print_json({"routes": [_route(route) for route in planned]})


def _route(route: planning.RoutePlan) -> dict[str, Any]:
    away = _reason(route.away)
    return {**asdict(route), "away": away, "folders": [_folder(each) for each in route.folders]}


def _folder(folder: planning.FolderPlan) -> dict[str, Any]:
    name = printable_name(folder.name)
    warnings = [_reason(reason) for reason in folder.warnings]
    return {
        **asdict(folder),
        "name": name,
        "reason": _reason(folder.reason),
        "warnings": warnings,
    }


def _reason(reason: Reason | None) -> dict[str, str] | None:
    return {"code": reason.code, **asdict(gcwatch.explain(reason))} if reason else None


# --- status --------------------------------------------------------------------------------------


def status(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    follow: Annotated[bool, flag("--follow", "Go on until Ctrl-C.")] = False,
) -> None:
    """Show every open case: its stage, since when, and why it waits; failures and warnings."""
    file = chosen(context, config)
    if follow:
        _follow(file, as_json=as_json)
        return
    with gcwatch.open(file, begun=True) as watch:
        seen = read_overview(watch)
    if as_json:
        _print_json(seen.record())
    else:
        console().print(status_tables(seen))


def _follow(file: Path | None, *, as_json: bool) -> None:
    """Show the status again and again: on a terminal in place, else whatever has changed."""
    screen = console()
    with closing(StatusFollower(file)) as onlooker, stoppable() as stop:
        if screen.is_terminal and not screen.is_dumb_terminal and not as_json:
            with Live(console=screen, auto_refresh=False) as drawn:
                while True:
                    drawn.update(live_status(onlooker.look(), screen.height), refresh=True)
                    if stop.wait(_SECOND):
                        return
        before: Overview | None = None
        while not stop.is_set():
            now = onlooker.look()
            if before is None or now.gist() != before.gist():
                _tell_change(before, now, onlooker, screen, as_json=as_json)
            before = now
            stop.wait(_SECOND)


def _tell_change(
    before: Overview | None,
    now: Overview,
    onlooker: StatusFollower,
    screen: Console,
    *,
    as_json: bool,
) -> None:
    if as_json:
        typer.echo(json.dumps(now.record()))
        return
    listed = {view.case for view in now.views}
    gone = [view.case for view in before.views if view.case not in listed] if before else []
    for line in status_lines(before, now, onlooker.views(gone)):
        screen.print(line, soft_wrap=True)


# --- show ----------------------------------------------------------------------------------------


def show(
    context: typer.Context,
    case: Annotated[str, typer.Argument(help="A key, route/key or route/folder.")],
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Show one case's whole history: what happened when, why it waits or failed, where to look."""
    with gcwatch.open(chosen(context, config), begun=True) as watch:
        found = find(watch, case)
        view = view_of_case(watch, found)
        told = list(case_view.history_lines(found.key, watch.history(found)))
        files = _papers(watch, found)
    if as_json:
        papers = [printable_name(str(file)) for file in files]
        _print_json({**asdict(view), "see": papers, "history": [asdict(each) for each in told]})
    else:
        console().print(case_history(view, told, files))


def _papers(watch: gcwatch.Watch, case: Case) -> Sequence[Path]:
    """Return the files that tell of a case: its receipt, or its failure's explanation."""
    routes = [route for route in watch.settings.routes if route.name == case.route]
    receipts = [route.outbox / case.result / RECEIPT_NAME for route in routes if case.result]
    notes = [route.outbox / f"{case.folder}.failed.txt" for route in routes]
    return receipts if case.ending != "failed" else [each for each in notes if lexists(each)]


# --- schema --------------------------------------------------------------------------------------


def schema() -> None:
    """Print the config file's JSON Schema, for editors."""
    _print_json(configuration.schema())
