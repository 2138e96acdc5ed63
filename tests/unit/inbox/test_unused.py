"""What is in an inbox but becomes no case: which kind it is, and how much is listed."""

import pytest

from gcwatch.config import Route
from gcwatch.core.reasons import explain
from gcwatch.inbox.listing import InboxListing
from gcwatch.inbox.unused import MAX_NAMES, unused_reasons


def route(cases):
    return Route(name="lobes", inbox="in", outbox="out", algorithm="lobes", cases=cases)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("p1.zip", "archives"),
        ("P1.ZIP", "archives"),
        ("p1.tar.gz", "archives"),
        ("p1.tgz", "archives"),
        ("p1.tar", "archives"),
        ("p1.7z", "archives"),
        ("p1.rar", "archives"),
        ("p1.gz", "archives"),
        ("brain.nii.gz", "loose_files"),
        ("Brain.NII.GZ", "loose_files"),
        ("1.2.840.dcm", "loose_files"),
        ("zip", "loose_files"),
        ("p1.zip\n", "loose_files"),
    ],
)
def test_an_archive_is_told_from_a_loose_file(name, code):
    """Compressed images are no archives."""
    [reason] = unused_reasons(route("folders"), InboxListing((), beside=(name,)), [])
    assert reason.code == code


def test_a_route_of_files_takes_no_folders():
    """Where files are the cases, an archive is a case, and a folder is not."""
    [reason] = unused_reasons(route("files"), InboxListing((), beside=("p1", "p2.zip")), [])
    assert (reason.code, reason.names) == ("loose_folders", {"entries": "p1, p2.zip"})


def test_the_table_of_another_route_is_not_named():
    """In a chain, the inbox is the outbox of the route before, which may hold its table."""
    listing = InboxListing((), beside=("items.csv", "results.csv", "mine.csv"))
    [reason] = unused_reasons(route("folders"), listing, [])
    assert reason.names == {"entries": "mine.csv"}


def test_a_crowd_is_counted_not_listed():
    """Thousands of loose files make one short sentence."""
    names = [f"{number:04}.dcm" for number in range(MAX_NAMES + 980)]
    [reason] = unused_reasons(route("series"), InboxListing((), beside=tuple(names)), [])
    detail = explain(reason).detail
    assert detail.startswith("1000 files: 0000.dcm, ")
    assert detail.endswith("0019.dcm and 980 more.")
