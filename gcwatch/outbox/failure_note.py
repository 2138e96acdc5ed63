"""The note beside a failed case: <folder>.failed.txt."""

from pathlib import Path

from gcwatch.files.atomic import FILE_MODE, disk_trouble, write_atomically
from gcwatch.files.names import with_suffix
from gcwatch.outbox.publish import make_parent_folder, result_path


def _note_path(outbox: Path, folder: str) -> Path:
    place = result_path(outbox, folder)
    return place.with_name(with_suffix(place.name, ".failed.txt"))


def write_failure_note(outbox: Path, folder: str, text: str) -> None:
    """Given a failed case's folder name and the note's text, write `<folder>.failed.txt`.

    Raise TryAgain (`disk`) if it can't be written.
    """
    with disk_trouble("writing to the outbox"):
        data = text.encode("utf-8", "backslashreplace")
        note = _note_path(outbox, folder)
        make_parent_folder(outbox, note)
        write_atomically(note, data, FILE_MODE)


def remove_failure_note(outbox: Path, folder: str) -> None:
    """Given a case's folder name, remove its `<folder>.failed.txt` if it exists.

    For a series, also remove the note on its patient's folder, which said that no series was found.
    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk_trouble("clearing the outbox"):
        _note_path(outbox, folder).unlink(missing_ok=True)
        _note_path(outbox, folder.partition("/")[0]).unlink(missing_ok=True)
