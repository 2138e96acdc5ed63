"""The options that several commands have."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from gcwatch.core.errors import Misused

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="Config file; else $GCWATCH_CONFIG, ./gcwatch.toml or /etc/gcwatch/gcwatch.toml.",
        show_default=False,
    ),
]


def flag(name: str, what: str) -> Any:
    """Given the name and the help of an option that takes no value, return the option."""
    return typer.Option(name, metavar="", help=what)


def sockets(where: str) -> Any:
    """Given which file may hold a value, return the option that says what each socket gets."""
    return typer.Option(
        "--input",
        metavar="SOCKET=WHAT",
        help='What a socket gets; repeat for each: a glob ("ct=*.mha"), @FILE for the value in '
        f"{where}, or a value as JSON (threshold=0.5).",
    )


Json = Annotated[bool, flag("--json", "Print JSON, for programs.")]
Offline = Annotated[bool, flag("--offline", "Do not ask the platform.")]
Url = Annotated[str | None, typer.Option(metavar="URL", help="Root of the platform's API.")]
TokenFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="File that holds the API token.")
]

CaBundle = Annotated[
    Path | None,
    typer.Option(
        "--ca-bundle",
        metavar="FILE",
        help="Certificates to trust, for networks that inspect TLS.",
    ),
]


def chosen(context: typer.Context, config: Path | None) -> Path | None:
    """Return the config file that was named, after the command or before it."""
    named: Path | None = config or context.find_root().obj
    return named


def by_socket(given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Given texts such as `ct-image=**/*.dcm`, yield each socket with what it gets.

    Raises:
        Misused: a text has another form, or a socket comes twice.
    """
    seen: set[str] = set()
    for each in given:
        socket, equals, what = each.partition("=")
        if not (socket and equals and what) or socket in seen:
            problem = "is given twice" if socket in seen else "is not SOCKET=WHAT"
            raise Misused(f"--input {each} {problem}.", 'For example: --input "ct-image=*.mha"')
        seen.add(socket)
        yield socket, what
