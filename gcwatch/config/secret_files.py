"""Files with secrets: the token, a password, addresses. Nobody but their owner reads them."""

import codecs
import os
import stat
from pathlib import Path

from gcwatch.config.named_files import NotUsableError, read_named_file
from gcwatch.config.values.types import is_within

_LARGEST_FILE_BYTES = 4096


def credentials_folder() -> Path:
    """Return the folder of systemd's credentials; without one, a path where nothing is."""
    return Path(os.environ.get("CREDENTIALS_DIRECTORY") or "/nonexistent")


def read_secret_file(file: Path) -> str:
    """Given a secret's file, return its text; what is not UTF-8 becomes a replacement character.

    Raises:
        NotUsableError: if it can't be read, or if others can read it.
    """
    content, mode = read_named_file(file, _LARGEST_FILE_BYTES)
    # systemd protects its credentials by the mode of the folder, not of the file.
    real, credentials = (Path(os.path.realpath(each)) for each in (file, credentials_folder()))
    if stat.S_IMODE(mode) & (stat.S_IRWXG | stat.S_IRWXO) and not is_within(real, credentials):
        raise NotUsableError("can be read by others", f"chmod 600 {file}")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise NotUsableError("is saved as UTF-16", "Save it as UTF-8.")
    # Editors of Windows write this mark before the first letter.
    return content.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
