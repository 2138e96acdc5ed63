"""The API token: where it is found, and that nobody else can read it."""

import os
import re
import stat
from pathlib import Path

from gcwatch.config.model import Settings
from gcwatch.config.types import within
from gcwatch.core.errors import ConfigError, Problem

_CREDENTIAL = "gc-token"
_VARIABLE = "GRAND_CHALLENGE_AUTHORIZATION"
_TOKEN = re.compile("[0-9a-fA-F]{64}")
_TOKEN_HINT = (
    "Write the token into a file that only its owner may read and name it as platform.token_file, "
    f"or give it as the systemd credential {_CREDENTIAL}, or set ${_VARIABLE}."
)


def read_token(settings: Settings) -> str:
    """Given settings, return the API token that they lead to.

    Raises:
        ConfigError: There is none, or it lies open; no message holds any of it.
    """
    credential = _credentials() / _CREDENTIAL
    if file := settings.platform.token_file or (credential if credential.is_file() else None):
        return _token(_secret(file, settings), f"{file} holds", settings)
    return _token(os.environ.get(_VARIABLE, ""), f"${_VARIABLE} holds", settings)


def _token(text: str, holder: str, settings: Settings) -> str:
    """Given what a holder of the token holds, return the token."""
    if not (token := token_in(text)):
        found = "something that is no token" if text.split() else "no token"
        raise _token_error(settings, f"{holder} {found}")
    return token


def token_in(text: str) -> str:
    """Given "TOKEN" or "BEARER TOKEN", return the token, or "" if there is none in it."""
    words = text.split()
    is_one = len(words) in {1, 2} and words[-1].isascii() and words[-1].isprintable()
    return words[-1] if is_one else ""


def _credentials() -> Path:
    return Path(os.environ.get("CREDENTIALS_DIRECTORY") or "/nonexistent")


def _secret(file: Path, settings: Settings) -> str:
    """Return the text of a secret's file, unless others can read it too."""
    if _TOKEN.fullmatch(file.name):
        raise _token_error(settings, "is a token; it has to be the file that holds one")
    try:
        mode = file.stat().st_mode
        text = file.read_text("ascii", "replace")
    except OSError as error:
        raise _token_error(settings, f"{file} can't be read: {error.strerror}") from error
    # systemd guards its credentials by the folder, not by the file.
    guarded = within(Path(os.path.realpath(file)), Path(os.path.realpath(_credentials())))
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO) and not guarded:
        raise _token_error(settings, f"{file} can be read by others", f"chmod 600 {file}")
    return text


def _token_error(settings: Settings, message: str, hint: str = _TOKEN_HINT) -> ConfigError:
    return ConfigError(str(settings.file), [Problem("platform.token_file", message, hint)])
