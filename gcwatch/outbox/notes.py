"""The notes beside results: <folder>.failed.txt and <folder>.changed.txt."""

from collections.abc import Iterator
from contextlib import suppress
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


def _note_paths(outbox: Path, folder: str, suffix: str) -> Iterator[SharePath]:
    """Yield the paths that a note may have: the file system may refuse a name."""
    for parent, last in result_places(outbox, folder):
        for name in storable_names(with_suffix(last, suffix)):
            yield parent / name


def find_failure_notes(outbox: Path, folder: str) -> list[Path]:
    """Given a failed case's folder name, return its `<folder>.failed.txt`, if it is there."""
    with suppress(OSError):
        notes = _note_paths(outbox, folder, FAILURE_NOTE)
        return [outbox / note.below for note in notes if note.is_file()]
    return []


def note_names(folder: str) -> set[str]:
    """Given a case's folder name, return the names that its failure note may have."""
    return {note.below for note in _note_paths(Path(), folder, FAILURE_NOTE)}


def _remove_note(outbox: Path, folder: str, suffix: str) -> None:
    with disk_trouble("clearing the outbox"):
        for note in _note_paths(outbox, folder, suffix):
            note.unlink(missing_ok=True)


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
