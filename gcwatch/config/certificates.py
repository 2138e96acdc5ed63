"""The file of certificates that the config names: it must be there and hold some."""

import ssl
from math import inf
from pathlib import Path
from typing import Final

from gcwatch.config.model import Settings
from gcwatch.config.named_files import NotUsableError, read_named_file
from gcwatch.core.errors import ConfigError, Problem

_LARGEST_FILE_BYTES: Final = 16 << 20
"""The certificates of all public authorities are 0.2 MB."""
_FILE_HINT: Final = (
    "Name a file with certificates that the user that runs gcwatch may read, or remove ca_bundle "
    "if this network does not inspect TLS."
)
_PEM_HINT: Final = "Name a file in PEM format: it has lines that read BEGIN CERTIFICATE."


def require_certificates(settings: Settings) -> None:
    """Given settings, raise ConfigError if their `ca_bundle` can't be used."""
    bundle = settings.platform.ca_bundle
    problem = _problem_of(bundle) if bundle is not None else None
    if problem is not None:
        raise ConfigError(str(settings.file), [problem])


def _problem_of(bundle: Path) -> Problem | None:
    key = "platform.ca_bundle"
    try:
        content, _ = read_named_file(bundle, _LARGEST_FILE_BYTES)
    except NotUsableError as error:
        return Problem(key, f"{bundle} {error}", _FILE_HINT)
    try:
        ssl.create_default_context(cafile=bundle)
    except (ssl.SSLError, OSError):
        hint = _PEM_HINT
        if b"PRIVATE KEY" in content:
            hint = "It holds a private key, which gcwatch must not have. " + hint
        return Problem(key, f"{bundle} holds no certificate", hint)
    return None


def expiry_of(bundle: Path) -> float:
    """Return when the last certificate of a usable file expires, in seconds since the epoch."""
    found = ssl.create_default_context(cafile=bundle).get_ca_certs()
    return max((ssl.cert_time_to_seconds(str(each["notAfter"])) for each in found), default=inf)
