"""Where a case's results or failure note are, as addresses relative to a page on the same share."""

import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from gcwatch.core.case import Case
from gcwatch.files.beneath import SharePath
from gcwatch.outbox.notes import find_failure_notes


class OutboxLinks:
    """Looks into the outbox of a route for a page in `folder`."""

    def __init__(self, outbox: Path, folder: Path) -> None:
        self._outbox = outbox
        self._way = _way(folder, outbox)

    def find(self, case: Case) -> str | None:
        """Given a case, return the address of what is in the outbox for it; None if nothing is.

        The address is "" if no relative address leads to the outbox. Raise OSError if the outbox
        can't be read.
        """
        if case.ending == "delivered" and (SharePath(self._outbox) / case.result).is_dir():
            return self._address(f"{case.result}/")
        notes = find_failure_notes(self._outbox, case.folder) if case.ending == "failed" else []
        return self._address(str(notes[0].relative_to(self._outbox))) if notes else None

    def find_file(self, name: str) -> str:
        """Given the name of a file in the outbox, return its address; "" if there is none."""
        with suppress(OSError):
            return self._address(name) if (SharePath(self._outbox) / name).is_file() else ""
        return ""

    def _address(self, name: str) -> str:
        return "" if self._way is None else quote(os.fsencode(self._way + name))


def _way(folder: Path, outbox: Path) -> str | None:
    """Return the relative path, with a slash at its end, if both may be on one share."""
    common = os.path.commonpath([folder, outbox])
    if common == os.sep:
        return None
    relative = os.path.relpath(outbox, folder)
    # "./" because a name may hold a colon, which would end a scheme.
    return "./" if relative == "." else f"./{relative}/"
