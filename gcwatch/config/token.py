"""The API token: finds it, and refuses a file that others can read."""

import codecs
import os
import re
import stat
from pathlib import Path

from gcwatch.config.model import Settings
from gcwatch.config.named_files import NotUsableError, read_named_file
from gcwatch.config.types import is_within
from gcwatch.core.errors import ConfigError, Problem

_CREDENTIAL = "gc-token"
_VARIABLE = "GRAND_CHALLENGE_AUTHORIZATION"
_TOKEN = re.compile("[0-9a-fA-F]{64}")
_LARGEST_FILE_BYTES = 4096
_TOKEN_HINT = (
    "Write the token into a file that only its owner may read, and name that file in "
    f"platform.token_file; or use the systemd credential {_CREDENTIAL}, or ${_VARIABLE}."
)


def read_token(settings: Settings) -> str:
    """Given settings, return the API token.

    Raises:
        ConfigError: There is none, or others can read it; no message holds any part of it.
    """
    credential = _credentials() / _CREDENTIAL
    if file := settings.platform.token_file or (credential if credential.is_file() else None):
        return _token(_secret(file, settings), f"{file} holds", settings)
    return _token(os.environ.get(_VARIABLE, ""), f"${_VARIABLE} holds", settings)


def _token(text: str, holder: str, settings: Settings) -> str:
    """Given what a holder of the token holds, return the token."""
    if not (token := token_in(text)):
        found = "a text that is not a token" if text.split() else "no token"
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
    """Return the text of a secret's file; refuse a file that others can read."""
    if _TOKEN.fullmatch(file.name):
        raise _token_error(settings, "is a token; write the path of a file that holds it")
    try:
        content, mode = read_named_file(file, _LARGEST_FILE_BYTES)
    except NotUsableError as error:
        raise _token_error(settings, f"{file} {error}") from error
    # systemd protects its credentials by the mode of the folder, not of the file.
    guarded = is_within(Path(os.path.realpath(file)), Path(os.path.realpath(_credentials())))
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO) and not guarded:
        raise _token_error(settings, f"{file} can be read by others", f"chmod 600 {file}")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _token_error(settings, f"{file} is saved as UTF-16", "Save it as UTF-8.")
    # Editors of Windows write this mark before the first letter.
    return content.removeprefix(codecs.BOM_UTF8).decode("ascii", "replace")


def _token_error(settings: Settings, message: str, hint: str = _TOKEN_HINT) -> ConfigError:
    return ConfigError(str(settings.file), [Problem("platform.token_file", message, hint)])
