"""A finding of an audit, and what the journal knows of each case."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from gcwatch.core import events
from gcwatch.core.case import Case, Snapshot
from gcwatch.files.beneath import SharePath
from gcwatch.journal.read_only import ReadOnlyJournal, WholeCase
from gcwatch.journal.rows import decode_event

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
    `was_taken` is whether its folder was moved or deleted after the delivery. `number` is the one
    of its last event.
    """

    case: Case
    is_newest: bool
    sent: Snapshot | None
    made: frozenset[str]
    was_taken: bool
    number: int

    def finding(self, kind: Kind, detail: str = "") -> Finding:
        """Return a finding about this case."""
        return Finding(f"route {self.case.route}", self.case.folder, kind, detail, self.case.key)


def known_cases(journal: ReadOnlyJournal) -> Iterator[KnownCase]:
    """Given a journal, yield all its cases, oldest first."""
    return map(known_case, journal.whole_cases())


def known_case(whole: WholeCase) -> KnownCase:
    """Return what the journal knows of a case."""
    case = whole.case
    sent, made, taken = None, {case.submission.pk} if case.submission else set(), False
    for row in whole.events:
        match decode_event(row.at, row.kind, row.record).event:
            case events.FolderChanged(snapshot):
                sent = snapshot
            case events.Submitted(pk):
                made.add(pk)
            case events.Delivered(_, source):
                taken = source in {"moved", "deleted"}
    return KnownCase(case, whole.is_newest, sent, frozenset(made), taken, whole.number)


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
