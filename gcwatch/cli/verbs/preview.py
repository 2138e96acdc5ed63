"""`check` and `plan`: the commands that look ahead, before anything is sent."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from gcwatch import config as configuration
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, Offline, chosen, flag
from gcwatch.commands import check as checking
from gcwatch.commands import plan as planning
from gcwatch.commands import removals
from gcwatch.commands.finding import Cause, Finding, config_findings
from gcwatch.core.errors import ConfigError, Misused
from gcwatch.core.kinds import KIND_NAMES
from gcwatch.core.reasons import Reason, explain
from gcwatch.core.text import printable_name
from gcwatch.views.check_table import findings_table
from gcwatch.views.plan_table import route_plan_table
from gcwatch.views.removals_table import removals_progress, removals_record, removals_view
from gcwatch.views.terminal import console, print_json

Folders = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FOLDER...]", help="Folders of the inboxes; else all.", show_default=False
    ),
]
SendAlert = Annotated[bool, flag("--alert", "Send a test alert to all who are to get alerts.")]
ShowRemoved = Annotated[
    bool, flag("--show-removed", "Show what would be removed, replaced and kept of each file.")
]
Values = Annotated[
    bool,
    flag(
        "--values",
        "With --show-removed: also what the original holds there. These are names: on a terminal "
        "only.",
    ),
]

_CODES: tuple[tuple[Cause, Exit], ...] = (
    ("token", Exit.TOKEN),
    ("platform", Exit.UNREACHABLE),
    ("config", Exit.CONFIG),
)


# --- check ---------------------------------------------------------------------------------------


def check(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    offline: Offline = False,
    alert: SendAlert = False,
) -> None:
    """Check the config, the folders, the token, every slug and every input.

    Exit codes: 0 all is well, 78 correct the config or a folder, 77 the token was refused or is
    missing, 69 the platform could not be reached.
    """
    found = list(_findings(chosen(context, config), offline=offline, send_alert=alert))
    if as_json:
        rows = [{**asdict(each), "ok": each.is_fine} for each in found]
        print_json({"ok": all(each.is_fine for each in found), "findings": rows})
    else:
        console().print(findings_table(found))
    raise typer.Exit(code_of(found))


def code_of(found: Sequence[Finding]) -> Exit:
    """Given findings, return the exit code of what has to be corrected first."""
    causes = {each.cause for each in found}
    return next((code for cause, code in _CODES if cause in causes), Exit.DONE)


def _findings(file: Path | None, *, offline: bool, send_alert: bool) -> Iterator[Finding]:
    try:
        settings = configuration.load(configuration.find(file), needs_work=False)
    except ConfigError as error:
        yield from config_findings(error)
    else:
        yield from checking.check(settings, offline=offline, send_alert=send_alert)


# --- plan ----------------------------------------------------------------------------------------


def plan(
    context: typer.Context,
    folders: Folders = None,
    config: Config = None,
    *,
    as_json: Json = False,
    show_removed: ShowRemoved = False,
    values: Values = False,
    offline: Offline = False,
) -> None:
    """Show what would be sent where, and what would be refused and why. Nothing is sent.

    Every folder goes through the same checks as in the daemon, de-identification included. Bundles
    are made in a temporary folder and deleted.

    With --show-removed, show for each file what would be removed, replaced and kept: DICOM elements
    and the places of other formats. Each file is prepared as for the platform and compared with its
    original. With --offline the platform is not asked: a socket takes what it took in the latest
    case, or else an image.
    """
    _require_fit(as_json=as_json, show_removed=show_removed, values=values, offline=offline)
    settings = configuration.load(configuration.find(chosen(context, config)))
    screen = console()
    if show_removed:
        with removals_progress() as progress:
            found = removals.show_removals(
                settings, folders or (), offline=offline, progress=progress
            )
            if as_json:
                print_json({"folders": [removals_record(each) for each in found]})
                return
            for each in found:
                screen.print(removals_view(each, values=values))
        return
    if not settings.routes and not as_json:
        for line in _without_routes(settings):
            screen.print(line, markup=False)
    planned = []
    for route in planning.plan(settings, folders or ()):
        planned.append(route)
        if not as_json:
            screen.print(route_plan_table(route))
    if as_json:
        print_json({"routes": [_route(route) for route in planned]})


def _require_fit(*, as_json: bool, show_removed: bool, values: bool, offline: bool) -> None:
    """Raise Misused for options that don't go together."""
    if (values or offline) and not show_removed:
        name = "--values" if values else "--offline"
        raise Misused(f"{name} goes with --show-removed only.")
    if values and (as_json or not sys.stdout.isatty()):
        raise Misused(
            "--values shows names of patients, and only on a terminal.",
            "Leave out --json, and do not send the output into a file or another program.",
        )


def _without_routes(settings: configuration.Settings) -> Iterator[str]:
    """Yield what a config without routes does instead."""
    yield "There is no route: nothing would be sent."
    for mirror in settings.mirrors:
        answers = "the answers of " * (mirror.kind == "reader_study")
        what = f"{answers}{KIND_NAMES[mirror.kind].noun} {mirror.slug}"
        yield f"Mirror {mirror.name} would copy {what} to {mirror.outbox}."
    yield "gcwatch audit shows what the next run of a mirror would fetch."


def _route(route: planning.RoutePlan) -> dict[str, Any]:
    return {
        **asdict(route),
        "away": _reason(route.away),
        "unused": [_reason(each) for each in route.unused],
        "folders": [_folder(each) for each in route.folders],
    }


def _folder(folder: planning.FolderPlan) -> dict[str, Any]:
    name = printable_name(folder.name)
    warnings = [_reason(reason) for reason in folder.warnings]
    return {
        **asdict(folder),
        "name": name,
        "reason": _reason(folder.reason),
        "warnings": warnings,
        "not_taken": [_reason(reason) for reason in folder.not_taken],
    }


def _reason(reason: Reason | None) -> dict[str, str] | None:
    return {"code": reason.code, **asdict(explain(reason))} if reason else None
