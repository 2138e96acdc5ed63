"""A config file that exists, and what `gcwatch init --add` does with it: it appends text."""

import os
import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from gcwatch import config
from gcwatch.config import Settings
from gcwatch.core.errors import Misused
from gcwatch.files.atomic import write_atomically


@dataclass(frozen=True)
class ExistingConfig:
    """A config file without mistakes: its real path, its bytes, and what it says."""

    file: Path
    content: bytes
    settings: Settings

    @property
    def text(self) -> str:
        """The file as text, with a line end at its end."""
        text = self.content.decode("utf-8-sig")
        return text if text.endswith("\n") or not text else text + "\n"

    def free_name(self, name: str) -> str:
        """Given a name for a route or mirror, return it, or with a number if it is taken."""
        taken = {route.name for route in self.settings.routes}
        taken |= {mirror.name for mirror in self.settings.mirrors}
        names = (name, *(f"{name}-{number}" for number in range(2, len(taken) + 3)))
        return next(each for each in names if each not in taken)

    def append(self, addition: str) -> None:
        """Append text: all of it is there, or nothing. Owner and mode stay.

        Raise Misused if somebody has changed the file since it was read.
        """
        status = self.file.stat()
        if self.file.read_bytes() != self.content:
            raise Misused(f"{self.file} was changed at this moment.", "Do it again.")
        line_end = "\r\n" if b"\r\n" in self.content else "\n"
        gap = "" if not self.content or self.content.endswith(b"\n") else line_end
        added = (gap + addition.replace("\n", line_end)).encode()
        write_atomically(self.file, self.content + added, stat.S_IMODE(status.st_mode))
        if os.geteuid() == 0:
            os.chown(self.file, status.st_uid, status.st_gid)


def read_existing(file: Path) -> ExistingConfig:
    """Given a config file, read it.

    Raises:
        ConfigError: it has mistakes, or can't be read.
        Misused: nothing can be appended to it: it belongs to another user, its folder can't be
            written, or its routes are in one list.
    """
    settings = config.load(file)
    real = file.resolve()
    if os.geteuid() not in {0, real.stat().st_uid}:
        raise Misused(f"{real} belongs to another user.", "Run this as that user, or as root.")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise Misused(f"{real.parent} can't be written.", "Run this as root.")
    existing = ExistingConfig(real, real.read_bytes(), settings)
    try:
        tomllib.loads(f"{existing.text}[[route]]\n[[mirror]]\n")
    except tomllib.TOMLDecodeError as error:
        message = f"{real} has its routes or mirrors in one list: nothing can be appended to that."
        raise Misused(message, "Write a table [[route]] for each.") from error
    return existing
