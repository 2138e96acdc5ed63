"""`health`: the command for monitoring systems and health checks."""

import typer

from gcwatch.api import open_watch
from gcwatch.cli.errors import ExitExactly, explain
from gcwatch.cli.options import Config, Json, chosen
from gcwatch.commands.health import Health, Level, judge_health
from gcwatch.commands.status import read_overview
from gcwatch.core.errors import GcwatchError
from gcwatch.views.terminal import print_json


def health(context: typer.Context, config: Config = None, *, as_json: Json = False) -> None:
    """Say in one line whether gcwatch works and whether somebody is needed, for monitoring.

    Exit codes: 0 well, 1 somebody is needed (a case failed, or is to be checked), 2 not working
    (no daemon, a pause, an inbox that can't be reached, or a config with a mistake).
    """
    try:
        with open_watch(chosen(context, config), begun=True) as watch:
            found = judge_health(read_overview(watch))
    except (GcwatchError, OSError) as error:
        text, _ = explain(error)
        found = Health(Level.NOT_WORKING, text.splitlines()[0].rstrip("."))
    if as_json:
        print_json(found.record())
    else:
        typer.echo(found.line)
    raise ExitExactly(int(found.level))
