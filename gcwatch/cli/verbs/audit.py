"""`audit`: the command that compares disk, journal and platform."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gcwatch import config as configuration
from gcwatch.cli.errors import Exit
from gcwatch.cli.options import Config, Json, Offline, chosen, flag
from gcwatch.commands import audit as auditing
from gcwatch.commands.audit import Finding, Progress
from gcwatch.core.progress import no_progress
from gcwatch.core.text import printable_name
from gcwatch.views.audit_table import AuditReport, audit_progress
from gcwatch.views.terminal import console


def audit(
    context: typer.Context,
    config: Config = None,
    *,
    as_json: Json = False,
    offline: Offline = False,
    download: Annotated[
        bool, flag("--download", "Download all results again and compare their bytes.")
    ] = False,
) -> None:
    """Compare inboxes, journal, outboxes, mirrors and the platform. Nothing is written.

    It lists every case that is missing, doubled, half there or different in content anywhere.

    Exit codes: 0 all agree (cases may be under way), 3 something differs or could not be
    compared, 69 the platform could not be reached, 75 its listings are incomplete at the moment,
    77 the token was refused, 78 correct the config.
    """
    settings = configuration.load(configuration.find(chosen(context, config)))
    report = AuditReport()
    with _drawn() as progress:
        found = report.collect(
            auditing.audit(settings, offline=offline, download=download, progress=progress)
        )
        # The document names each case; the table only those that do not agree.
        rows = [_row(each) for each in found if as_json]
    if as_json:
        record = {"agree": report.is_fine, "counts": report.counts(), "findings": rows}
        typer.echo(json.dumps(record, indent=2))
    else:
        console().print(report.drawn())
    raise typer.Exit(Exit.DONE if report.is_fine else Exit.SOME_FAILED)


def _row(finding: Finding) -> dict[str, Any]:
    facts = {key: printable_name(value) for key, value in asdict(finding).items()}
    return {**facts, "ok": finding.is_fine}


@contextmanager
def _drawn() -> Iterator[Progress]:
    """On a terminal, draw the progress while the context is open."""
    if not sys.stderr.isatty():
        yield no_progress
        return
    with audit_progress() as progress:
        yield progress
