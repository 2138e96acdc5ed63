"""The notes beside results: <folder>.failed.txt and <folder>.changed.txt."""

from pathlib import Path

from gcwatch.core.receipt import CHANGE_NOTE, FAILURE_NOTE
from gcwatch.files.atomic import FILE_MODE, disk_trouble, write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import storable_names, with_storable_name, with_suffix
from gcwatch.outbox.publish import make_parent_folder, result_places


def _write_note(outbox: Path, folder: str, suffix: str, text: str) -> None:
    with disk_trouble("writing to the outbox"):
        data = text.encode("utf-8", "backslashreplace")
        place = make_parent_folder(SharePath(outbox) / folder)
        note = place.with_name(with_suffix(place.name, suffix))
        with_storable_name(note, lambda path: write_atomically(path, data, FILE_MODE))


def _remove_note(outbox: Path, folder: str, suffix: str) -> None:
    with disk_trouble("clearing the outbox"):
        for parent, last in result_places(outbox, folder):
            for name in storable_names(with_suffix(last, suffix)):
                (parent / name).unlink(missing_ok=True)


def write_failure_note(outbox: Path, folder: str, text: str) -> None:
    """Given a failed case's folder name and the note's text, write `<folder>.failed.txt`.

    Raise TryAgain (`disk`) if it can't be written.
    """
    _write_note(outbox, folder, FAILURE_NOTE, text)


def remove_failure_note(outbox: Path, folder: str) -> None:
    """Given a case's folder name, remove its `<folder>.failed.txt` if it exists.

    For a series, also remove the note on its patient's folder, which said that no series was found.
    Raise TryAgain (`disk`) if it can't be removed.
    """
    _remove_note(outbox, folder, FAILURE_NOTE)
    _remove_note(outbox, folder.partition("/")[0], FAILURE_NOTE)


def write_change_note(outbox: Path, folder: str, text: str) -> None:
    """Given the folder name of a delivered case and a text, write `<folder>.changed.txt`.

    Raise TryAgain (`disk`) if it can't be written.
    """
    _write_note(outbox, folder, CHANGE_NOTE, text)


def remove_change_note(outbox: Path, folder: str) -> None:
    """Given a case's folder name, remove its `<folder>.changed.txt` if it exists.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    _remove_note(outbox, folder, CHANGE_NOTE)
