"""`retry` tries a case again; `withdraw` leaves it alone from now on."""

from typing import Annotated

import typer

import gcwatch
from gcwatch.cli.case_names import find_latest
from gcwatch.cli.errors import Misused
from gcwatch.cli.options import Config, chosen, flag
from gcwatch.core.case import Case
from gcwatch.core.kinds import KIND_NAMES

Cases = Annotated[
    list[str] | None,
    typer.Argument(metavar="CASE", help="A key, route/key or route/folder.", show_default=False),
]


def retry(
    context: typer.Context,
    cases: Cases = None,
    config: Config = None,
    *,
    failed: Annotated[bool, flag("--failed", "Retry all cases that failed.")] = False,
) -> None:
    """Try cases again: a waiting one now, a failed one from the start, a delivered one again.

    Results of a delivered case stay; the new ones appear beside them, as folder.2. If the command
    after the delivery (on_delivered) failed, only that runs again.
    """
    if bool(cases) == failed:
        raise Misused("Name the cases to retry, or use --failed; not both.")
    with gcwatch.open(chosen(context, config), begun=True) as watch:
        chosen_cases = (
            _failed(watch) if failed else [find_latest(watch, each) for each in cases or ()]
        )
        for case in chosen_cases:
            after = watch.retry(case)
            typer.echo(f"{after.key}: {_tried(case)}.")
        _remind(watch, bool(chosen_cases))


def _failed(watch: gcwatch.Watch) -> list[Case]:
    return [case for case in watch.attention() if case.ending == "failed" and not case.gone]


def _tried(case: Case) -> str:
    if case.command is not None:
        return "its command runs again; nothing is sent"
    if case.ending == "delivered":
        return f"a new case, for the folder of {case.key}"
    return "is tried again from the start" if case.ending else "is tried again now"


def withdraw(context: typer.Context, cases: Cases = None, config: Config = None) -> None:
    """Leave cases alone from now on; what the platform already has of them stays there."""
    if not cases:
        raise Misused("Name the cases to withdraw.", "gcwatch status lists them.")
    with gcwatch.open(chosen(context, config), begun=True) as watch:
        for case in [find_latest(watch, each) for each in cases]:
            if case.is_open:
                watch.withdraw(case)
                typer.echo(f"{case.key}: is left alone from now on.")
            else:
                typer.echo(f"{case.key}: has ended already ({case.ending}); nothing to withdraw.")
                _tell_leftover(case)


def _tell_leftover(case: Case) -> None:
    """Say what a failed case has left on the platform: a command here can't remove it."""
    if case.ending == "failed" and case.submission and case.kind != "algorithm":
        product = KIND_NAMES[case.kind].product
        typer.echo(
            f"  Its {product} stays on the platform, where people see it: {case.submission.url}\n"
            f"  Delete it there, or fill it: gcwatch retry {case.key}"
        )


def _remind(watch: gcwatch.Watch, anything: bool) -> None:
    if not anything:
        typer.echo("No case has failed.")
    elif not watch.hosts().is_running:
        typer.echo("No gcwatch is running here. Start gcwatch run or gcwatch once to continue.")
