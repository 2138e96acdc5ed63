"""Files that the config names: read without waiting, and no more of them than such a file holds."""

import os
import stat
from pathlib import Path


class NotUsableError(Exception):
    """Why a file that the config names can't be used, as the end of a sentence about it.

    `hint` says what to do, "" if that depends on the file.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.hint = hint


def read_named_file(path: Path, limit_bytes: int) -> tuple[bytes, int]:
    """Given a file's path, return its content and its mode.

    Raises:
        NotUsableError: if it is no regular file, can't be read, or holds more than *limit_bytes*.
    """
    try:
        # A pipe would block the daemon for ever, and a device has no end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotUsableError("does not exist") from error
    except OSError as error:
        raise NotUsableError(f"can't be read: {error.strerror}") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise NotUsableError("is a folder, not a file")
        if not stat.S_ISREG(mode):
            raise NotUsableError("is a pipe or a device, not a file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(limit_bytes + 1)
    except OSError as error:  # a disk or a share that fails
        raise NotUsableError(f"can't be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(content) > limit_bytes:
        raise NotUsableError(f"is too large: such a file has at most {limit_bytes >> 10} KiB")
    return content, mode
