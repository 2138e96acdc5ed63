"""`list`: the command that shows what the token can see on the platform."""

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from gcwatch.cli.options import CaBundle, Config, Json, TokenFile, Url, chosen
from gcwatch.commands.listing import Listable, Listed, listed
from gcwatch.commands.send.options import Access
from gcwatch.core.text import printable_name
from gcwatch.views.links import knows_links
from gcwatch.views.listing_table import listing
from gcwatch.views.terminal import console, print_json


def list(  # noqa: A001 -- the command's name
    context: typer.Context,
    what: Annotated[
        Listable, typer.Argument(metavar="LIST", help="One of the four.", show_default=False)
    ],
    word: Annotated[str, typer.Argument(metavar="WORD", help="A part of the slug or title.")] = "",
    *,
    url: Url = None,
    token_file: TokenFile = None,
    ca_bundle: CaBundle = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List the algorithms, archives, reader studies or sockets that the token can see.

    No config file is needed: see gcwatch send. On a pipe, each line has the slug, the title and
    the link, with tabs between them.

    Exit codes: 0 listed, 69 the platform could not be reached, 77 the token was refused, 78
    correct the config.
    """
    access = Access(
        url=url, token_file=token_file, ca_bundle=ca_bundle, config=chosen(context, config)
    )
    found = listed(what, word, access)
    if as_json:
        print_json({what: [_record(each) for each in found]})
    elif found and sys.stdout.isatty():
        screen = console()
        screen.print(listing(found, clickable=knows_links(screen)), crop=False)
    else:
        for each in found:
            typer.echo(f"{each.slug}\t{printable_name(each.title)}\t{each.link or each.kind}")
    if not found:
        named = f" with {printable_name(word)} in the slug or title" if word else ""
        typer.echo(f"The token can see no {what.replace('-', ' ')}{named}.", err=True)


def _record(each: Listed) -> dict[str, str]:
    return {key: value for key, value in asdict(each).items() if value or key == "title"}
