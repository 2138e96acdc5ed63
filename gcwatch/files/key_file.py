"""The secret key, which PatientIDs and UIDs are hashed with.

It is made once, and never sent, logged or replaced.
"""

import contextlib
import os
import secrets
from pathlib import Path
from typing import Final

from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic
from gcwatch.files.beneath import SharePath

KEY_FILE: Final = "pseudonyms.key"
_KEY_BYTES: Final = 32


def read_key(folder: Path) -> bytes | None:
    """Given the state directory, return the key, None if there is none yet.

    Raise TryAgain (`disk`) if it can't be read or is damaged: another key would give the same
    patients other pseudonyms, and a case other UIDs than those it has been sent with.
    """
    with atomic.disk_trouble("reading the secret key"):
        try:
            key = (folder / KEY_FILE).read_bytes()
        except FileNotFoundError:
            return None
    if len(key) != _KEY_BYTES:
        what = {"what": "reading the secret key", "error": f"{KEY_FILE} is damaged"}
        raise TryAgain(Reason("disk", what))
    return key


def read_or_make_key(folder: Path) -> bytes:
    """As `read_key`, but make a key if there is none; of two makers, one is first."""
    if (key := read_key(folder)) is not None:
        return key
    with atomic.disk_trouble("making the secret key"):
        temporary = folder / f".{KEY_FILE}.{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o600), "wb") as stream:
                stream.write(secrets.token_bytes(_KEY_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, folder / KEY_FILE)
        finally:
            temporary.unlink(missing_ok=True)
        atomic.sync_folder(SharePath.of(folder))
    return read_or_make_key(folder)
