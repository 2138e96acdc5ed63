"""The program `gcwatch`: the table of its commands, and the end of the process."""

import ctypes
import gc
import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gcwatch.cli.errors import Exit, ExitExactly, explain
from gcwatch.cli.options import Config
from gcwatch.core.errors import GcwatchError

# A command's module, with all that it imports, is loaded when the command is called. `--help`
# needs only this table: the first sentences of the commands' docstrings, in order of their use.
COMMANDS = {
    "init": (
        "init",
        "Write a config file and make its folders; on a terminal, ask for what is not given.",
    ),
    "run": ("work", "Run as a daemon: watch, send, poll and deliver until SIGTERM or Ctrl-C."),
    "once": ("work", "Do what can be done now, then end: for cron, scripts and tests."),
    "mirror": (
        "mirror",
        "Update a mirror's folder from its archive; only what is new or changed is downloaded.",
    ),
    "check": ("preview", "Check the config, the folders, the token, every slug and every input."),
    "plan": (
        "preview",
        "Show what would be sent where, and what would be refused and why. Nothing is sent.",
    ),
    "status": (
        "status",
        "Show every open case: its stage, since when, and why it waits; failures and warnings.",
    ),
    "show": (
        "status",
        "Show the history of one case: what happened when, and why it waits or failed.",
    ),
    "health": (
        "health",
        "Say in one line whether gcwatch works and whether somebody is needed, for monitoring.",
    ),
    "audit": (
        "audit",
        "Compare inboxes, journal, outboxes, mirrors and the platform. Nothing is written.",
    ),
    "retry": (
        "retry",
        "Try cases again: a waiting one now, a failed one from the start, a delivered one again.",
    ),
    "withdraw": (
        "retry",
        "Leave cases alone from now on; what the platform already has of them stays there.",
    ),
    "send": (
        "send",
        "Send files or folders now, wait, and print where the results or the links are.",
    ),
    "fetch": (
        "fetch",
        "Fetch the results of an algorithm's jobs, an archive, or a reader study's answers.",
    ),
    "list": (
        "listing",
        "List the algorithms, archives, reader studies or sockets that the token can see.",
    ),
    "journal": (
        "journal",
        "Look after the journal: let old closed cases leave it, or move it to a database.",
    ),
    "schema": ("generate", "Print the config file's JSON Schema, for editors."),
    "systemd": (
        "generate",
        "Print the systemd drop-in that opens this config's folders to the service.",
    ),
    "sandbox": (
        "rehearse",
        "Serve a replacement for the platform on this machine, to try out routes.",
    ),
    "demo": (
        "rehearse",
        "Show everything in half a minute: a sandbox, example patients, the daemon, the results.",
    ),
}
"""Each command: its module in cli.verbs, where a function has its name, and its line of help."""

_STYLE: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "markdown",
}


def load_command(name: str) -> Any:
    """Given the name of a command, import it and return what Typer makes of it.

    It is a function, or a group of commands.
    """
    module, _ = COMMANDS[name]
    alone = typer.Typer(**_STYLE)
    # What is imported stays: a collection of garbage meanwhile finds none, and takes its time.
    gc.disable()
    try:
        command = getattr(import_module(f"gcwatch.cli.verbs.{module}"), name)
    finally:
        gc.enable()
    if isinstance(command, typer.Typer):
        return typer.main.get_group(command)
    alone.command()(command)
    return typer.main.get_command(alone)


def options_of(command: Any) -> set[str]:
    """Return the options of a command, or of all commands of a group."""
    alone = getattr(command, "commands", {}).values() or [command]
    return {option for each in alone for one in each.params for option in one.opts}


class _LateGroup(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Given the arguments, return the command that they call, imported."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, load_command(name) if name in COMMANDS else listed, rest


app = typer.Typer(
    name="gcwatch",
    cls=_LateGroup,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    **_STYLE,
)

for _name, (_, _help) in COMMANDS.items():
    # Typer lists only commands with a function; `_LateGroup` loads the real one.
    app.command(_name, help=_help)(lambda: None)


_PR_SET_DUMPABLE = 4


def _print_version(wanted: bool) -> None:
    if wanted:
        from gcwatch.version import VERSION  # noqa: PLC0415 -- it reads the package's metadata

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
            "--version",
            metavar="",
            callback=_print_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Watches drop folders and sends each new patient folder to grand-challenge.org, exactly once.

    First steps: gcwatch demo; gcwatch init; gcwatch check; gcwatch plan; gcwatch run.
    """
    context.obj = config


def _forbid_core_dumps() -> None:
    """Forbid core dumps: they would hold the token and what patients' images hold.

    The limit alone does not bind programs that the kernel pipes dumps to (core(5)).
    """
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0)
    with suppress(OSError, ValueError):  # the unit forbids both dumps and this call
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end the process with its exit code."""
    _forbid_core_dumps()
    try:
        app(arguments, prog_name="gcwatch")
    except ExitExactly:
        raise
    except SystemExit as end:
        # Typer says 2 where sysexits says 64.
        sys.exit(Exit.USAGE if end.code == 2 else end.code)
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
    except (GcwatchError, OSError) as error:
        text, code = explain(error)
        typer.echo(text, err=True)
        sys.exit(code)
