"""The program `gcwatch`: its commands gathered, its end."""

import ctypes
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated

import typer

from gcwatch.cli import audit, init, look, mirror, rehearse, send, systemd, verbs, work
from gcwatch.cli.errors import Exit, explain
from gcwatch.cli.options import Config
from gcwatch.core.errors import GcwatchError
from gcwatch.version import VERSION

app = typer.Typer(
    name="gcwatch",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="markdown",
)

for _command in (
    init.init,
    *(work.run, work.once, mirror.mirror),
    *(look.check, look.plan, look.status, look.show, audit.audit),
    *(verbs.retry, verbs.withdraw, send.send),
    *(look.schema, systemd.systemd, rehearse.sandbox, rehearse.demo),
):
    app.command()(_command)


_PR_SET_DUMPABLE = 4


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gcwatch {VERSION}")
        raise typer.Exit


@app.callback()
def _gcwatch(
    context: typer.Context,
    config: Config = None,
    *,
    _show_version: Annotated[
        bool,
        typer.Option(
            "--version", metavar="", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once.

    First steps: gcwatch demo; gcwatch init; gcwatch check; gcwatch plan; gcwatch run.
    """
    context.obj = config


def _leave_no_core() -> None:
    """Dumps would hold the token and what patients' images hold.

    The limit alone does not bind programs that the kernel pipes dumps to (core(5)).
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    with suppress(OSError, ValueError):  # the unit forbids both dumps and this call
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    _leave_no_core()
    try:
        app(arguments, prog_name="gcwatch")
    except SystemExit as end:
        # Typer says 2 where sysexits says 64.
        sys.exit(Exit.USAGE if end.code == 2 else end.code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except (GcwatchError, OSError) as error:
        text, code = explain(error)
        typer.echo(text, err=True)
        sys.exit(code)
