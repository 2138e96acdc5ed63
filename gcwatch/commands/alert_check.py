"""`gcwatch check`: whether alerts can be sent; with `--alert`, whether one arrives."""

from collections.abc import Iterator

from gcwatch.commands.finding import Finding, config_findings
from gcwatch.config import Settings
from gcwatch.core.alerts import Alert
from gcwatch.core.errors import ConfigError
from gcwatch.daemon.reporting.alert_channels import open_channels

_TEST = Alert(
    "gcwatch: test of an alert",
    "Whoever gets this is told when gcwatch needs somebody. Nothing is wrong now.",
    ("test",),
)


def alert_findings(settings: Settings, *, send: bool) -> Iterator[Finding]:
    """Given settings, check who gets alerts; with *send*, send each of them a test."""
    if not settings.alerts.is_on:
        if send:
            hint = "Write urls, urls_file or command into the table [alerts]."
            yield Finding("alerts", "alert", "nobody gets alerts", "config", hint)
        return
    try:
        channels = open_channels(settings)
    except ConfigError as error:
        yield from config_findings(error)
        return
    for channel in channels:
        problem = channel.send(_TEST) if send else ""
        if problem:
            hint = "Correct the address, or the way to it: docs/service.md has examples."
            yield Finding("alerts", channel.label, problem, "config", hint)
        else:
            done = "a test alert was sent" if send else "usable; gcwatch check --alert tries it"
            yield Finding("alerts", channel.label, done)
