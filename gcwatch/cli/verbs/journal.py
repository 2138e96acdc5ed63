"""`journal`: the commands that look after the journal."""

import time
from pathlib import Path
from typing import Annotated

import typer

from gcwatch import config as configuration
from gcwatch.api import Watch, open_watch
from gcwatch.cli.options import Config, chosen
from gcwatch.config.values.types import parse_duration
from gcwatch.core.errors import JournalUnavailable, Misused
from gcwatch.core.text import count_noun, data_size
from gcwatch.journal.moving import move_to_database, move_to_state_directory
from gcwatch.journal.pruning import prune_journal
from gcwatch.views.terminal import console

journal = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")

OlderThan = Annotated[
    str,
    typer.Option(
        metavar="TIME", help='How long ago a case ended at least: "2y", "90d".', show_default=False
    ),
]
To = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where the cases are written; else pruned-DATE.jsonl.gz in the state directory.",
        show_default=False,
    ),
]


@journal.callback()
def _journal() -> None:
    """Look after the journal: let old closed cases leave it, or move it to a database."""


@journal.command()
def prune(
    context: typer.Context, older_than: OlderThan, to: To = None, config: Config = None
) -> None:
    """Write closed cases that ended long ago to a file, and drop them from the journal.

    Cases whose folder is still in the inbox stay: else it would be sent again. Results stay where
    they are. The daemon may run meanwhile; the file becomes smaller only while it does not.
    """
    now = time.time()
    seconds = parse_duration(older_than)
    if not seconds:
        raise Misused(f"--older-than {older_than} is no duration.", 'For example: "2y" or "90d".')
    with open_watch(chosen(context, config), begun=True) as watch:
        state = watch.settings.state
        name = time.strftime("pruned-%Y-%m-%dT%H%M%SZ.jsonl.gz", time.gmtime(now))
        file = to or state / name
        if file.exists():
            raise Misused(f"{file} exists.", "Name another file: --to FILE.")
        count = prune_journal(watch.journal, now - seconds, file)
        if not count:
            typer.echo("No case has ended so long ago and has left the inbox. Nothing was changed.")
            return
        typer.echo(f"{count_noun(count, 'case')} left the journal; what was known of them: {file}")
        typer.echo(_shrunk(watch))


Back = Annotated[
    bool,
    typer.Option("--back", help="From the database to the state directory.", show_default=False),
]


@journal.command()
def copy(context: typer.Context, back: Back = False, config: Config = None) -> None:
    """Copy the journal of the state directory to the database that the config names.

    Stop gcwatch first. Each case is compared with what its events make of it; if anything differs,
    nothing is copied. The journal that is left can't be used any more by mistake.
    """
    settings = configuration.load(configuration.find(chosen(context, config)))
    move = move_to_state_directory if back else move_to_database
    with console(stderr=True).status("") as drawn:
        count = move(settings, time.time, lambda done: drawn.update(f"{done} cases copied"))
    typer.echo(f"{count_noun(count, 'case')} copied and checked.")
    if back:
        typer.echo("Take journal = … out of the config before gcwatch starts again.")


def _shrunk(watch: Watch) -> str:
    """Make the journal smaller, a file only if no daemon uses it; return what became of that."""
    hosts = watch.hosts()
    if hosts.is_shared:
        return "New cases use the free room in the database."
    if hosts.is_running:
        return "Its file is not smaller, as gcwatch is running: new cases use the free room in it."
    before = watch.journal.size()
    try:
        watch.journal.shrink()
    except JournalUnavailable as error:
        return f"Its file is not smaller: {error}. New cases use the free room in it."
    return f"Its file had {data_size(before)}, and has {data_size(watch.journal.size())}."
