"""The file of certificates that the config names: it must be there and hold some."""

import ssl
from pathlib import Path

from gcwatch.config.model import Settings
from gcwatch.core.errors import ConfigError, Problem


def require_certificates(settings: Settings) -> None:
    """Given settings, raise ConfigError if their `ca_bundle` can't be used."""
    bundle = settings.platform.ca_bundle
    problem = _problem_of(bundle) if bundle is not None else None
    if problem is not None:
        raise ConfigError(str(settings.file), [problem])


def _problem_of(bundle: Path) -> Problem | None:
    key = "platform.ca_bundle"
    try:
        ssl.create_default_context(cafile=bundle)
    except ssl.SSLError:
        hint = "Name a file in PEM format: it has lines that read BEGIN CERTIFICATE."
        return Problem(key, f"{bundle} holds no certificate", hint)
    except FileNotFoundError:
        hint = "Correct the path, or remove ca_bundle if this network does not inspect TLS."
        return Problem(key, f"{bundle} does not exist", hint)
    except OSError as error:
        hint = "Name a file with certificates that the user that runs gcwatch may read."
        return Problem(key, f"{bundle} can't be read: {error.strerror}", hint)
    return None
