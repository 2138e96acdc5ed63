"""Which images of a delivered case are drawn: what was sent, and what came back."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gcwatch.config import Route
from gcwatch.core.case import Case
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules
from gcwatch.core.text import readable_name
from gcwatch.files.beneath import SharePath
from gcwatch.files.patterns import is_ignored, matches_pattern
from gcwatch.imaging.dicom.headers import read_header
from gcwatch.inbox.layouts import inbox_of
from gcwatch.pictures.drawings import Subject

_MOST_FILES = 5000
"""Files of a folder that are listed."""


def place_of_input(route: Route, case: Case) -> Path | None:
    """Given a delivered case, return the folder of the share that still has its files, or None."""
    if not case.gone:
        return route.inbox
    return route.done if route.after == "move" else None


def input_subjects(route: Route, case: Case) -> Iterator[Subject]:
    """Yield the images that were sent, as far as the share still has them.

    Raise OSError, or what `Inbox.source_files` raises, if the files can't be listed.
    """
    place = place_of_input(route, case)
    sent = [each for each in case.inputs or () if each.carrier in {"image", "dicom"}]
    if place is None or not any(each.is_uploaded for each in sent):
        return
    if place == route.inbox:
        listed = [(file.name, file.place) for file in inbox_of(route).source_files(case.folder)]
    else:
        listed = list(_list_files(SharePath(place) / case.folder))
    rules = route.only or ALL_SERIES
    for each in sent:
        files = [file for name, file in listed if matches_pattern(name, each.pattern)]
        files = [file for file in files if _is_taken(file, rules)]
        if each.is_uploaded and files:
            yield Subject("input", each.socket, tuple(files[:_MOST_FILES]))


def _is_taken(file: SharePath, rules: SeriesRules) -> bool:
    """Whether a file is of no series that the route leaves out."""
    if not rules.rules:
        return True
    with file.open_file() as stream:
        header = read_header(stream, rules.keywords)
    return header is None or not rules.find_misfit(header.asked)


def result_subjects(route: Route, case: Case) -> Iterator[Subject]:
    """Yield the images that came back, and files that may be images."""
    if not case.result:
        return
    folder = SharePath(route.outbox) / case.result
    for output in case.outputs or ():
        files = [folder / each.path for each in case.fetched if each.output == output.pk]
        if files and output.carrier != "value":
            yield Subject("result", output.socket, tuple(files[:_MOST_FILES]))
    if case.adopted:  # nothing is known of it but its files
        for name, file in _list_files(folder):
            if name != RECEIPT_NAME:
                yield Subject("result", readable_name(name), (file,))


def _list_files(place: SharePath) -> Iterator[tuple[str, SharePath]]:
    """Yield the names and places of at most so many files in a folder; or that of a file."""
    if place.is_file():
        yield place.name, place
        return
    found = islice(place.walk_files(), _MOST_FILES)
    files = sorted((file.relative_to(place), file) for file in found)
    yield from (each for each in files if not is_ignored(each[0]))
