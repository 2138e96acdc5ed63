"""What is done once an hour: leftovers of crashes are removed, closed cases are packed."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from gcwatch import log
from gcwatch.core.errors import TryAgain
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.journal.journal import Journal
from gcwatch.threads.heartbeats import heartbeat

_CASE_FOLDER: Final = re.compile(r".+-[2-9a-z]{8}-[0-9]+")
"""The name of a case's folder: its key, whose end is random, and its round."""
_PACK_AFTER_SECONDS: Final = 24 * 3600.0
"""A case that was closed today is still read, and its folder is still changed, now and then."""
_PACKED_AT_ONCE: Final = 50
"""The journal is locked for some 10 ms."""


def pack_closed_cases(journal: Journal, now: float, pause: Callable[[], bool]) -> None:
    """Pack what closed a day ago; *pause* lets others work, and returns whether to end."""
    while journal.pack_closed_cases(now - _PACK_AFTER_SECONDS, _PACKED_AT_ONCE) and not pause():
        heartbeat()


def clear_spool(spool: Path, journal: Journal) -> None:
    """Given the spool and the journal, remove what belongs to no open case."""
    # Listed before the cases are, so that a folder made meanwhile is never taken for old.
    spooled = list(spool.iterdir()) if spool.is_dir() else []
    wanted = {f"{case.key}-{case.round}" for case in journal.open_cases()}
    for folder in spooled:
        # Whatever else is there is not gcwatch's: the spool may be a link to a larger disk.
        if _CASE_FOLDER.fullmatch(folder.name) and _is_left(folder, wanted):
            try:
                discard_spool(folder)
            except TryAgain as error:
                log.emit("spool.kept", error=error.reason.facts["error"])
                return  # the others are on the same disk


def _is_left(folder: Path, wanted: Collection[str]) -> bool:
    return folder.name not in wanted and folder.is_dir() and not folder.is_symlink()
