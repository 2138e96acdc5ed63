"""The API token: finds it, and refuses a file that others can read."""

import os
import re
from pathlib import Path

from gcwatch.config.model import Settings
from gcwatch.config.named_files import NotUsableError
from gcwatch.config.secret_files import credentials_folder, read_secret_file
from gcwatch.core.errors import ConfigError, Problem

_CREDENTIAL = "gc-token"
_VARIABLE = "GRAND_CHALLENGE_AUTHORIZATION"
_TOKEN = re.compile("[0-9a-fA-F]{64}")
_TOKEN_HINT = (
    "Write the token into a file that only its owner may read, and name that file in "
    f"platform.token_file (or --token-file); or use the systemd credential {_CREDENTIAL}, "
    f"or ${_VARIABLE}."
)


def read_token(settings: Settings) -> str:
    """Given settings, return the API token.

    Raises:
        ConfigError: There is none, or others can read it; no message holds any part of it.
    """
    credential = credentials_folder() / _CREDENTIAL
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


def _secret(file: Path, settings: Settings) -> str:
    """Return the text of the token's file; refuse a file that others can read."""
    if _TOKEN.fullmatch(file.name):
        raise _token_error(settings, "is a token; write the path of a file that holds it")
    try:
        return read_secret_file(file)
    except NotUsableError as error:
        raise _token_error(settings, f"{file} {error}", error.hint or _TOKEN_HINT) from error


def _token_error(settings: Settings, message: str, hint: str = _TOKEN_HINT) -> ConfigError:
    return ConfigError(str(settings.file), [Problem("platform.token_file", message, hint)])
