"""What is done once an hour: files that a crash left behind are removed."""

from pathlib import Path

from gcwatch import log
from gcwatch.core.errors import TryAgain
from gcwatch.imaging.bundles.spool import discard_spool
from gcwatch.journal.journal import Journal


def clear_spool(spool: Path, journal: Journal) -> None:
    """Given the spool and the journal, remove what belongs to no open case."""
    # Listed before the cases are, so that a folder made meanwhile is never taken for old.
    spooled = list(spool.iterdir()) if spool.is_dir() else []
    wanted = {f"{case.key}-{case.round}" for case in journal.open_cases()}
    for folder in spooled:
        if folder.is_dir() and folder.name not in wanted:
            try:
                discard_spool(folder)
            except TryAgain as error:
                log.emit("spool.kept", error=error.reason.facts["error"])
                return  # the others are on the same disk
