"""Decides which addresses gcwatch may connect to."""

import ipaddress
import socket
from urllib.parse import SplitResult, urljoin, urlsplit

from gcwatch.config.values.types import is_loopback
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason


def origin_of(url: str) -> tuple[str, str]:
    """Given a URL, return its scheme, host and port; a token is only sent to one origin."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def require_https(url: str, home: str) -> None:
    """Given a URL from the platform, raise TryAgain (`insecure`) if it is not a safe address."""
    parts = _split(url)
    require_safe_host(parts.scheme, parts.hostname or "", home)


def _is_this_machine(host: str) -> bool:
    """Whether a host is this machine, however it is written: "127.1", "0" and "localhost." are."""
    name = host.partition("%")[0].strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        try:
            address = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    plain = getattr(address, "ipv4_mapped", None) or address
    return plain.is_loopback or plain.is_unspecified


def join(url: str, location: str) -> str:
    """Return where a redirect leads to, "" if that is no address."""
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _split(url: str) -> SplitResult:
    """Split a URL; of what is no URL, no part is known."""
    try:
        parts = urlsplit(url)
        return parts if parts.port is None or parts.port else SplitResult("", "", "", "", "")
    except ValueError:
        return SplitResult("", "", "", "", "")


def require_safe_host(scheme: str, host: str, home: str) -> None:
    """Raise TryAgain (`insecure`) unless a host is reached by https.

    This machine's own services are only for a platform on this machine, which needs no https.
    """
    is_local_platform = is_loopback(urlsplit(home).hostname or "")
    is_safe = is_local_platform if _is_this_machine(host) else scheme == "https"
    if not host or scheme not in {"http", "https"} or not is_safe:
        raise TryAgain(Reason("insecure", {"host": host or "without a host"}))
