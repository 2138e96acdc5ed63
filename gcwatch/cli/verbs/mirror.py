"""`mirror`: the command that runs a mirror now."""

import json
import sys
from dataclasses import asdict
from typing import Annotated

import typer

import gcwatch
from gcwatch import log
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, chosen
from gcwatch.cli.signals import stoppable
from gcwatch.core.errors import Stopped
from gcwatch.functions import require_mirror
from gcwatch.mirrors.outcome import MirrorSummary
from gcwatch.views.mirror_summary import mirror_summary
from gcwatch.views.progress import mirror_progress
from gcwatch.views.terminal import console


def mirror(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The mirror's name in the config file.")],
    config: Config = None,
    *,
    as_json: Json = False,
) -> None:
    """Update a mirror's folder from its archive; only what is new or changed is downloaded.

    Exit codes: 0 complete, 3 an item could not be downloaded, 69 the platform could not be
    reached, 75 the archive can't be seen or the folder can't be written, 77 the token was refused,
    78 correct the config, or another gcwatch works on this mirror.
    """
    with gcwatch.open(chosen(context, config)) as watch, stoppable() as stop:
        require_mirror(watch, name)
        with mirror_progress() as (stream, progress):
            log.configure(watch.settings.log, stream=stream, host=watch.settings.log_host)
            try:
                summary = watch.mirror(name, progress, stop)
            except Stopped:
                raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        typer.echo(json.dumps(asdict(summary), indent=2))
    elif sys.stdout.isatty():
        console().print(mirror_summary(summary))
    raise typer.Exit(_code(summary))


def _code(summary: MirrorSummary) -> Exit:
    return Exit.SOME_FAILED if summary.failed else Exit.DONE
