"""`systemd`: what this config needs of the service."""

import os

import typer

from gcwatch import config as configuration
from gcwatch import dropin, unit
from gcwatch.cli.options import Config, chosen


def systemd(context: typer.Context, config: Config = None) -> None:
    """Print the drop-in that opens this config's folders to the service.

    It belongs into /etc/systemd/system/gcwatch.service.d/paths.conf; docs/service.md tells more.
    """
    # Where the config leaves the state open, the service keeps it in its own folder.
    os.environ.setdefault("STATE_DIRECTORY", str(unit.STATE))
    settings = configuration.load(configuration.find(chosen(context, config)))
    typer.echo(dropin.dropin(settings), nl=False)
