"""`fetch`: the command that brings an archive, an algorithm's results or a study's answers."""

import sys
from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Final, Literal

import typer

from gcwatch import log
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import CaBundle, Config, Json, TokenFile, Url, chosen
from gcwatch.cli.signals import stoppable
from gcwatch.commands.fetch import fetch_into
from gcwatch.commands.send.access import access_settings
from gcwatch.commands.send.options import Access
from gcwatch.core.errors import Stopped
from gcwatch.core.kinds import Kind
from gcwatch.mirrors.jobs import JobFilter, JobStatus
from gcwatch.views.mirror_summary import mirror_summary
from gcwatch.views.progress import mirror_progress
from gcwatch.views.terminal import console, print_json

Fetchable = Literal["algorithm", "archive", "reader-study"]
_KINDS: Final[dict[Fetchable, Kind]] = {
    "algorithm": "algorithm",
    "archive": "archive",
    "reader-study": "reader_study",
}


def fetch(
    context: typer.Context,
    what: Annotated[
        Fetchable, typer.Argument(metavar="WHAT", help="What is fetched.", show_default=False)
    ],
    slug: Annotated[
        str, typer.Argument(metavar="SLUG", help="Its slug, the last part of its page's address.")
    ],
    folder: Annotated[str, typer.Argument(metavar="DIR", help="The folder for what is fetched.")],
    *,
    since: Annotated[
        datetime | None,
        typer.Option(
            metavar="DATE", formats=["%Y-%m-%d"], help="Of jobs: results of this day or later."
        ),
    ] = None,
    status: Annotated[
        JobStatus | None, typer.Option(help="Of jobs: how they ended; default: succeeded.")
    ] = None,
    url: Url = None,
    token_file: TokenFile = None,
    ca_bundle: CaBundle = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Fetch the results of an algorithm's jobs, an archive, or a reader study's answers.

    No config file is needed: see gcwatch send. Each job, item or display set has a folder in DIR,
    with a receipt. The same command again fetches what is new or changed, and goes on where it was
    interrupted.

    Exit codes: 0 complete, 3 something could not be fetched, 64 wrong usage, 69 the platform could
    not be reached, 75 it can't be seen or the folder can't be written, 77 the token was refused, 78
    correct the config, or another gcwatch works on DIR, 130 stopped.
    """
    access = Access(
        url=url, token_file=token_file, ca_bundle=ca_bundle, config=chosen(context, config)
    )
    jobs = JobFilter(status or "succeeded", _day(since))
    with stoppable() as stop, mirror_progress() as (stream, progress):
        # Somebody looks on: each item that arrives is in the bar, and only trouble is a line.
        settings = access_settings(access).log.model_copy(update={"level": "warning"})
        log.configure(settings, stream=stream)
        try:
            summary = fetch_into(
                folder, _KINDS[what], slug, access, jobs=jobs, progress=progress, stop=stop
            )
        except Stopped:
            raise typer.Exit(Exit.INTERRUPTED) from None
    if as_json:
        print_json(asdict(summary))
    elif sys.stdout.isatty():
        console().print(mirror_summary(summary))
    raise typer.Exit(Exit.SOME_FAILED if summary.failed else Exit.DONE)


def _day(given: datetime | None) -> date | None:
    return given.date() if given else None
