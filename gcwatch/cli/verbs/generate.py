"""`schema` and `systemd`: the commands that print a file for another program."""

import os
from typing import Annotated

import typer

from gcwatch import config as configuration
from gcwatch.cli.options import Config, chosen
from gcwatch.commands import systemd_unit
from gcwatch.commands.systemd_dropin import dropin
from gcwatch.views.terminal import print_json


def schema() -> None:
    """Print the config file's JSON Schema, for editors."""
    print_json(configuration.schema())


def systemd(
    context: typer.Context,
    config: Config = None,
    instance: Annotated[
        str,
        typer.Option(metavar="NAME", help="For gcwatch@NAME, with its config in /etc/gcwatch."),
    ] = "",
) -> None:
    """Print the systemd drop-in that opens this config's folders to the service.

    Its first line says where to save it; docs/service.md explains it.
    """
    named = chosen(context, config)
    service = (
        named and not instance and systemd_unit.service_of(named)
    ) or systemd_unit.service_named(instance)
    # If the config does not name the state directory, it is the service's own.
    os.environ.setdefault("STATE_DIRECTORY", str(service.state))
    file = configuration.find(named or (service.config if instance else None))
    typer.echo(dropin(configuration.load(file), service), nl=False)
