"""Where alerts go: to addresses of apprise, or to a program.

Addresses are secrets: no log line and no error holds one; each is named by its place in the list.
Alerts hold no names. Still, what goes to another machine by HTTP or with a password is encrypted.
"""

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gcwatch import config, log
from gcwatch.config import Settings
from gcwatch.config.values.types import is_loopback
from gcwatch.core.alerts import Alert
from gcwatch.core.errors import ConfigError, Problem
from gcwatch.outbox.delivery_command import find_program, run_command

if TYPE_CHECKING:
    from apprise import NotifyBase

_COMMAND_SECONDS: Final = 60.0
_ANSWER_SECONDS: Final = 30.0
"""How long a server may take; an address may name a longer time (cto, rto)."""

_URL_HINT: Final = (
    "Addresses: https://appriseit.com/services/. Try one: apprise -vv -b test ADDRESS"
)
_SAFE_HINT: Final = (
    "Write jsons:// and not json://, mailtos:// for mail with a password, and no verify=no."
)


@dataclass(frozen=True)
class Channel:
    """One address or program: an id that says nothing of it, and how people name it.

    `send` returns what went wrong, "" if it delivered the alert.
    """

    ident: str
    label: str
    send: Callable[[Alert], str]


def open_channels(settings: Settings) -> list[Channel]:
    """Given settings, return all to whom alerts go.

    Raises:
        ConfigError: apprise is not installed, an address is not usable or not safe, or the program
            does not exist.
    """
    if settings.alerts.command:
        return [_command_channel(settings)]
    urls = config.read_alert_urls(settings) if settings.alerts.is_on else []
    return [_url_channel(settings, number, url) for number, url in enumerate(urls, 1)]


def _error(settings: Settings, key: str, message: str, hint: str) -> ConfigError:
    return ConfigError(str(settings.file), [Problem(f"alerts.{key}", message, hint)])


# --- addresses -----------------------------------------------------------------------------------


def _url_channel(settings: Settings, number: int, url: str) -> Channel:
    key = "urls_file" if settings.alerts.urls_file else "urls"
    log.hide_secret(url)
    try:
        import apprise  # noqa: PLC0415 -- an extra, and slow to import
    except ImportError as error:
        message = "needs apprise, which is not installed"
        hint = "pip install 'gcwatch[alerts]', or use command."
        raise _error(settings, key, message, hint) from error
    # Its messages hold addresses.
    logging.getLogger("apprise").disabled = True
    asset = apprise.AppriseAsset(app_id="gcwatch", app_desc="gcwatch", http_redirects=False)
    found = apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    label = f"address {number}"
    if found is None:
        raise _error(settings, key, f"{label} is none that apprise knows", _URL_HINT)
    if not _is_safe(found):
        raise _error(settings, key, f"{label} is not encrypted", _SAFE_HINT)
    # A relay that took a mail and said so too late would get it again and again.
    found.socket_connect_timeout = max(found.socket_connect_timeout, _ANSWER_SECONDS)
    found.socket_read_timeout = max(found.socket_read_timeout, _ANSWER_SECONDS)

    def send(alert: Alert) -> str:
        sender = apprise.Apprise(asset=asset)
        sender.add(found)
        is_sent = sender.notify(
            body=alert.body, title=alert.title, body_format=apprise.NotifyFormat.TEXT
        )
        return "" if is_sent else f"{label} ({_schema(url)}) did not accept it"

    ident = hashlib.sha256(url.encode()).hexdigest()[:16]
    return Channel(ident, f"{label} ({_schema(url)})", send)


def _schema(url: str) -> str:
    return url.partition("://")[0][:20]


def _is_safe(found: "NotifyBase") -> bool:
    """Whether an address is encrypted, is on this machine, or is mail without a password."""
    host, mode = str(found.host or ""), str(getattr(found, "secure_mode", ""))
    if is_loopback(host.strip("[]")):
        return True
    if not found.verify_certificate:
        return False
    if mode:  # mail: a relay of the hospital often takes it as it is
        return mode != "insecure" or not found.password
    # A class names its encrypted schemes; the scheme of an address is not part of its type.
    secure: Any = getattr(found, "secure_protocol", None) or ()
    return getattr(found, "schema", "") in ((secure,) if isinstance(secure, str) else secure)


# --- a program -----------------------------------------------------------------------------------


def _command_channel(settings: Settings) -> Channel:
    command = settings.alerts.command
    if find_program(command[0]) is None:
        hint = "Write the full path of a program that the service may execute."
        raise _error(settings, "command", f"{command[0]} is not a program", hint)

    def send(alert: Alert) -> str:
        result = run_command(
            command,
            longest_seconds=_COMMAND_SECONDS,
            given=f"{alert.title}\n\n{alert.body}\n".encode(),
            environment={
                "GCWATCH_ALERT": alert.title,
                "GCWATCH_ALERT_EVENTS": ",".join(alert.events),
            },
        )
        return f"the command {result.problem}" if result.problem else ""

    return Channel("command", "command", send)
