"""What is in an inbox but becomes no case: empty folders, loose files and archives, as reasons."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from gcwatch.config import Route
from gcwatch.core.reasons import Reason
from gcwatch.core.tables.case_table import CASES_STATUS
from gcwatch.core.tables.result_rows import TABLE_NAMES
from gcwatch.core.text import printable_name
from gcwatch.imaging.sorting import not_taken_reason
from gcwatch.inbox.listing import InboxListing

MAX_NAMES: Final = 20
"""Number of names that one reason lists."""

# A gzip of one image (.nii.gz) is an image, not an archive.
_ARCHIVE: Final = re.compile(
    r"(?i).+(\.zip|\.tar|\.tar\.(gz|bz2|xz|zst)|\.tgz|\.7z|\.rar|(?<!\.nii)\.gz)"
)


def unused_reasons(route: Route, listing: InboxListing, empty: Sequence[str]) -> tuple[Reason, ...]:
    """Given a route, its inbox, and the empty folders in it, return what is not taken, and why.

    There is at most one reason of each code; it names up to `MAX_NAMES` entries.
    """
    return tuple(_reasons(route, listing, empty))


def _reasons(route: Route, listing: InboxListing, empty: Sequence[str]) -> Iterator[Reason]:
    if route.cases == "files":
        yield from _reason("loose_folders", listing.beside)
        return
    yield from _reason("empty_items" if route.source else "empty_folders", empty)
    if listing.not_taken:
        yield not_taken_reason(listing.not_taken)
    # The inbox may be the outbox of another route, with its table.
    files = [name for name in listing.beside if name not in {*TABLE_NAMES.values(), CASES_STATUS}]
    yield from _reason("archives", [name for name in files if _is_archive(name)])
    yield from _reason("loose_files", [name for name in files if not _is_archive(name)])


def _is_archive(name: str) -> bool:
    return _ARCHIVE.fullmatch(name) is not None


def _reason(code: str, names: Sequence[str]) -> Iterator[Reason]:
    if not names:
        return
    listed = ", ".join(map(printable_name, names[:MAX_NAMES]))
    more = len(names) - MAX_NAMES
    entries = f"{listed} and {more} more" if more > 0 else listed
    yield Reason(code, {"count": len(names)}, {"entries": entries})
