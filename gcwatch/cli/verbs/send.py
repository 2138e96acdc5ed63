"""`send`: the command that sends files and folders without a config file."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.text import Text

from gcwatch import log
from gcwatch.cli.errors import Exit, Misused
from gcwatch.cli.options import (
    CaBundle,
    Config,
    Json,
    TokenFile,
    Url,
    by_socket,
    chosen,
    flag,
    sockets,
)
from gcwatch.cli.signals import stoppable
from gcwatch.commands.send.options import Access, SendOptions
from gcwatch.commands.send.parent import SeveralCases
from gcwatch.commands.send.runs import Sent
from gcwatch.commands.send.send import SendSession
from gcwatch.core.reasons import is_platform_away
from gcwatch.core.text import printable_name
from gcwatch.views.parent_list import parent_list
from gcwatch.views.send_progress import send_progress
from gcwatch.views.sent_lines import sent_lines, sent_note
from gcwatch.views.terminal import console


def _slug(name: str, what: str) -> Any:
    return typer.Option(name, metavar="SLUG", help=f"Slug of the {what} to send to.")


def send(
    context: typer.Context,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files and folders.")],
    *,
    algorithm: Annotated[str | None, _slug("--algorithm", "algorithm")] = None,
    reader_study: Annotated[str | None, _slug("--reader-study", "reader study")] = None,
    archive: Annotated[str | None, _slug("--archive", "archive")] = None,
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for results; needed for an algorithm."),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        sockets("a JSON file"),
    ] = None,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Title on the platform; may hold {key}.")
    ] = None,
    names: Annotated[
        Literal["opaque", "keep"],
        typer.Option(help="What the platform sees: keys or names."),
    ] = "opaque",
    integrity: Annotated[
        Literal["refuse", "warn"], typer.Option(help="What to do with an incomplete series.")
    ] = "refuse",
    leftovers: Annotated[
        Literal["warn", "fail"],
        typer.Option(help="If the platform can't read some files."),
    ] = "warn",
    url: Url = None,
    token_file: TokenFile = None,
    ca_bundle: CaBundle = None,
    poll: Annotated[
        str, typer.Option(metavar="DURATION", help="How often to poll a job, at first.")
    ] = "5s",
    config: Config = None,
    no_deidentify: Annotated[
        bool, flag("--no-deidentify", "Send image files as they are.")
    ] = False,
    reuse: Annotated[
        bool, flag("--reuse", "Reuse images that are on the platform already.")
    ] = False,
    each: Annotated[bool, flag("--each", "Each folder in PATH is a case, not PATH.")] = False,
    again: Annotated[bool, flag("--again", "Send again what was delivered before.")] = False,
    as_json: Json = False,
) -> None:
    """Send files or folders now, wait, and print where the results or the links are.

    Each folder is a case of its own; all files together are one case. No config file is needed:
    the token is in --token-file or $GRAND_CHALLENGE_AUTHORIZATION. If there is a config file, its
    platform, limits and state directory are used.

    If it is interrupted, run the same command again: it continues and sends nothing twice.

    Exit codes: 0 everything is delivered, 3 a case failed, 64 wrong usage, 69 the platform could
    not be reached, 75 cases wait for something else, 77 the token was refused, 78 correct the
    config, the slug, the rights or the inputs, 130 stopped.
    """
    options = SendOptions(
        algorithm=algorithm,
        reader_study=reader_study,
        archive=archive,
        output=output,
        inputs=_sources(inputs or ()),
        title=title,
        names=names,
        integrity=integrity,
        leftovers=leftovers,
        deidentify=not no_deidentify,
        reuse=reuse,
        poll=poll,
        each=each,
        again=again,
    )
    access = Access(
        url=url, token_file=token_file, ca_bundle=ca_bundle, config=chosen(context, config)
    )
    # Signals end a question at once, and work in order.
    with closing(_opened(paths, options, access)) as sending, stoppable() as stop:
        for sentence in sending.left_out:
            typer.echo(sentence, err=True)
        with _quiet(sending), send_progress(sending):
            sent = sending.run(stop)
        stopped = stop.is_set()
    _print(sent, as_json=as_json)
    raise typer.Exit(_code(sent, stopped=stopped))


def _opened(paths: Sequence[str], options: SendOptions, access: Access) -> SendSession:
    """Return the session; on a terminal, ask whether the folders in a folder are the cases."""
    try:
        return SendSession(paths, options, access)
    except SeveralCases as error:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        screen = console(stderr=True)
        screen.print(Text(str(error)))
        screen.print(parent_list(error.parents))
        if not _is_confirmed(f"Send each of these {len(error.paths)} as a case of its own?"):
            raise typer.Exit(Exit.INTERRUPTED) from None
        return SendSession(error.paths, options, access)


def _is_confirmed(question: str) -> bool:
    try:
        return typer.confirm(question, default=True, err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        return False


@contextmanager
def _quiet(sending: SendSession) -> Iterator[None]:
    """Keep log lines and libraries' warnings off the screen; a log file still gets them."""
    with Path(os.devnull).open("w") as nowhere:
        log.configure(sending.settings.log, stream=nowhere)
        try:
            yield
        finally:
            log.reset_logging()


# --- sources of sockets ------------------------------------------------------------------------


def _sources(given: Sequence[str]) -> dict[str, Any]:
    return {socket: _source(what) for socket, what in by_socket(given)}


def _source(what: str) -> Any:
    """Return a source: @FILE is the value in a file, JSON is a value, all else is a glob."""
    if what.startswith("@"):
        return {"value": _value(Path(what[1:]))}
    try:
        return {"value": json.loads(what)}
    except ValueError:
        return what


def _value(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except ValueError as error:
        raise Misused(f"{file} is not JSON.") from error


# --- results -----------------------------------------------------------------------------


def _print(sent: Sequence[Sent], *, as_json: bool) -> None:
    """Print where the results are, or the link: JSON, lines for a pipe, or text for people."""
    if as_json:
        typer.echo(json.dumps({"sent": [_record(each) for each in sent]}, indent=2))
        return
    if sys.stdout.isatty():
        screen = console()
        screen.print(sent_lines(sent, screen), crop=False)
        return
    for each in sent:
        if each.ending == "delivered":
            typer.echo(printable_name(str(each.result)) if each.outputs else each.link)
        note = sent_note(each)
        if note:
            typer.echo(note, err=True)


def _record(sent: Sent) -> dict[str, Any]:
    result = printable_name(str(sent.result)) if sent.result else None
    outputs = [printable_name(str(file)) for file in sent.outputs]
    names = {"folder": printable_name(sent.folder), "result": result, "outputs": outputs}
    return {**asdict(sent), **names}


def _code(sent: Sequence[Sent], *, stopped: bool) -> Exit:
    if any(each.ending not in {"delivered", None} for each in sent):
        return Exit.SOME_FAILED
    waits = {each.reason for each in sent if each.ending is None}
    if waits and stopped:
        return Exit.INTERRUPTED
    if any(map(is_platform_away, waits)):
        return Exit.UNREACHABLE
    return Exit.WAITING if waits else Exit.DONE
