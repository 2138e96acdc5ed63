"""Temporary names of files that a program is copying: one table for all rooms.

A file with such a name is never content. As long as one is in a folder, the folder is not complete.
"""

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import Final


@dataclass(frozen=True)
class TemporaryName:
    """A glob of temporary names, and the programs that use it, as docs/folders.md shows them.

    `pattern` is a regular expression where the glob says too little.
    """

    glob: str
    programs: str
    pattern: str = ""


# A name of digits only is no name of rsync: macOS puts "._1.2.840.123456" beside "1.2.840.123456".
_RSYNC: Final = r"\..+\.(?![0-9]{6}$)[A-Za-z0-9]{6}"

TEMPORARY_NAMES: Final = (
    TemporaryName(".*.AbC123", "rsync (any six letters and digits)", _RSYNC),
    TemporaryName(".~tmp~", "rsync --delay-updates (folder)"),
    TemporaryName(".rsync-partial", "rsync --partial-dir (folder)"),
    TemporaryName("*.part", "Firefox, KDE, dcm4che storescp, ownCloud"),
    TemporaryName("*.partial", "rclone, Internet Explorer"),
    TemporaryName("*.filepart", "WinSCP (SCP, SFTP)"),
    TemporaryName("*.crdownload", "Chrome, Edge"),
    TemporaryName("*.opdownload", "Opera"),
    TemporaryName("*.download", "Safari (folder)"),
    TemporaryName("*.tmp", "OneDrive, Syncthing, Office, many others"),
    TemporaryName("*.temp", "many programs"),
    TemporaryName("*.incomplete", "many programs"),
    TemporaryName("*.aria2", "aria2"),
    TemporaryName("*.!sync", "Resilio Sync"),
    TemporaryName(".in.*", "lftp"),
    TemporaryName(".*.~*", "Nextcloud and ownCloud clients"),
    TemporaryName(".tmp.drivedownload", "Google Drive (folder)"),
    TemporaryName(".goutputstream-*", "GNOME"),
    TemporaryName("~$*", "Office: the document is open"),
    TemporaryName(".~lock.*#", "LibreOffice: the document is open"),
)
"""All temporary names; upper and lower case are the same.

cp, scp, robocopy, the Windows Explorer, the Finder and DCMTK's storescp are not here: they write
under the final name, so only the settle time can tell whether they are done.
"""

# Every name of every folder comes through here: first and last letters are enough for most.
_SUFFIXES: Final = tuple(each.glob[1:] for each in TEMPORARY_NAMES if each.glob.startswith("*."))
_FIRST: Final = (".", "~")
_OTHERS: Final = re.compile(
    "|".join(
        each.pattern or translate(each.glob)
        for each in TEMPORARY_NAMES
        if each.glob.startswith(_FIRST)
    ),
    re.IGNORECASE | re.DOTALL,
)


def is_temporary(name: str) -> bool:
    """Given the last component of a name, return whether a copy that is under way has such names.

    A folder with such a name stands for the files below it.
    """
    if name.lower().endswith(_SUFFIXES):
        return True
    return name.startswith(_FIRST) and _OTHERS.fullmatch(name) is not None
