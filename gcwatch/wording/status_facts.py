"""What a route's status file shows, whether it is a text or a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from gcwatch.core.reasons import Reason
from gcwatch.pictures.drawings import Picture
from gcwatch.wording.case_view import CaseView

OLD_SECONDS: Final = 600.0
"""A status file that is older than this shows that gcwatch does not write it any more."""

MAX_CASES: Final = 200
"""Number of cases that one section lists."""

ENDED: Final = ("delivered", "failed", "withdrawn")
"""Stages of cases that are over."""

_TEXT_MARK: Final = "gcwatch, route "
_PAGE_MARK: Final = "<!DOCTYPE html>\n<!-- gcwatch, route "


@dataclass(frozen=True)
class StatusFileFacts:
    """What a status file shows of a route.

    `views` are the cases that are open, failed or have warnings; `counts` the numbers of cases by
    stage. `pause` is why all work is paused. `is_away`: the inbox can't be reached. `is_over`:
    gcwatch has stopped. `unused` says what is in the inbox but becomes no case. `hosts` says which
    of several hosts work, "" if there is only one.

    Only a page shows the rest: `delivered` are the latest deliveries, the last one first; `links`
    has, by key, the relative address of a case's results or failure note, and `pictures` the small
    pictures of its images. `table` is the address of the table of all results, "" without one.
    """

    route: str
    views: Sequence[CaseView] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    pause: Reason | None = None
    is_away: bool = False
    is_over: bool = False
    unused: Sequence[Reason] = ()
    hosts: str = ""
    delivered: Sequence[CaseView] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    table: str = ""

    def count_open(self) -> int:
        """Return the number of cases that wait or are under way."""
        return sum(count for stage, count in self.counts.items() if stage not in ENDED)


def is_page(file: PurePath) -> bool:
    """Whether a route's status file, by its suffix, is a page and not a text."""
    return file.suffix.lower() in {".html", ".htm"}


def first_line(route: str, *, page: bool = False) -> str:
    """Return how the status file of a route begins."""
    return f"{_PAGE_MARK}{route} -->" if page else _TEXT_MARK + route


def is_status_file(beginning: bytes) -> bool:
    """Given the first bytes of a file, return whether it is a status file, or empty.

    A file that starts differently belongs to somebody else.
    """
    marks = _TEXT_MARK.encode(), _PAGE_MARK.encode()
    return not beginning or beginning.removeprefix(b"\xef\xbb\xbf").startswith(marks)
