"""A finding of an audit, and what the journal knows of each case."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gcwatch.core import events
from gcwatch.core.case import Case, Snapshot
from gcwatch.files.beneath import SharePath
from gcwatch.journal.journal import Journal

Kind = Literal["agrees", "under way", "missing", "doubled", "half there", "different", "unclear"]
"""`unclear` is what could not be compared: a share is not mounted, or a right was withdrawn."""

FINE: Final = frozenset({"agrees", "under way"})

Progress = Callable[[str, int], None]
"""Called with what is being compared, and how many cases and items are done."""


@dataclass(frozen=True)
class Finding:
    """The result for a case, item or folder; `case` is its key or pk, `name` may be a patient's."""

    where: str
    name: str
    kind: Kind
    detail: str = ""
    case: str = ""

    @property
    def is_fine(self) -> bool:
        """Whether nobody has to do anything about it."""
        return self.kind in FINE


@dataclass(frozen=True)
class KnownCase:
    """What the journal knows of a case.

    `sent` is its folder's state when it was sent; `made` are the pks of all its jobs or items.
    `was_taken` is whether its folder was moved or deleted after the delivery.
    """

    case: Case
    is_newest: bool
    sent: Snapshot | None
    made: frozenset[str]
    was_taken: bool

    def finding(self, kind: Kind, detail: str = "") -> Finding:
        """Return a finding about this case."""
        return Finding(f"route {self.case.route}", self.case.folder, kind, detail, self.case.key)


def known_cases(journal: Journal) -> list[KnownCase]:
    """Given a journal, return all its cases, oldest first."""
    newest = {case.key for case in journal.latest_cases()}
    return [_known(case, case.key in newest, journal) for case in journal.cases()]


def _known(case: Case, is_newest: bool, journal: Journal) -> KnownCase:
    sent, made, taken = None, {case.submission.pk} if case.submission else set(), False
    for each in journal.history(case.key):
        match each.event:
            case events.FolderChanged(snapshot):
                sent = snapshot
            case events.Submitted(pk):
                made.add(pk)
            case events.Delivered(_, source):
                taken = source in {"moved", "deleted"}
    return KnownCase(case, is_newest, sent, frozenset(made), taken)


# --- files ---------------------------------------------------------------------------------------

Expected = tuple[str, int, str]
"""A file as it was written: relative path, size in bytes, SHA-256."""


def compare_files(folder: SharePath, files: Sequence[Expected]) -> Iterator[tuple[Kind, str]]:
    """Given a folder and the files written into it, yield which are missing, cut or different."""
    for path, size, sha256 in files:
        try:
            found = (folder / path).lstat().st_size
            if found < size:
                yield "half there", f"{path} has {found} of {size} bytes"
            elif found > size or _sha256(folder / path) != sha256:
                yield "different", f"{path} does not have the content that was written"
        except (FileNotFoundError, NotADirectoryError):
            yield "missing", f"{path} is missing"
        except OSError as error:
            yield "unclear", f"{path} can't be read: {error.strerror}"
        except ValueError:  # a receipt that somebody wrote leads elsewhere
            yield "different", f"{path} is no place in the result"


def _sha256(path: SharePath) -> str:
    with path.open_file() as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
