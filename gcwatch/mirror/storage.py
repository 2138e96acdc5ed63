"""What both layouts of a mirror share: the hidden folder, names, and moving items away."""

import errno
import filecmp
import hashlib
import os
import shutil
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from gcwatch.core.case import Fetched
from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import sync_folder, sync_tree
from gcwatch.files.names import remove_tree, safe_relative_path, with_suffix
from gcwatch.mirror.receipts import Content, File, Held, Receipt, Wanted
from gcwatch.outbox.outputs import Staging

HIDDEN: Final = ".gcwatch"
"""The hidden folder in a mirror's outbox; if it is missing, the outbox may not be mounted."""

MakeStaging = Callable[[Path], Staging]
"""Given a folder, return the object that fetches files into it."""

Seal = Callable[[str, tuple[Content, ...]], Receipt]
"""Given an item's name and its contents, return its receipt."""


class MirrorStorage(Protocol):
    """Items on disk, in one of the layouts. Methods may raise OSError."""

    def list_held(self, archive: str) -> dict[str, Held]:
        """Given an archive's slug, return its items on disk, by pk."""

    def choose_names(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Given all items to fetch, prepare their names, and remove other staging folders."""

    def store_item(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch the new content of an item and publish it; unchanged files are used again."""

    def replace_receipt(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""

    def move_item(self, held: Held, target: Path) -> None:
        """Move an item to another folder."""


class HiddenFolder:
    """The hidden folder of a mirror: staging folders, replaced entries, receipts of "flat"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / HIDDEN
        self.partial = self.path / "partial"
        self.set_aside = self.path / "old"
        self.receipts = self.path / "items"

    def create(self, *, was_full: bool) -> None:
        """Create the hidden folder.

        Raises:
            TryAgain: (`mirror_away`) if the outbox had items (`was_full`) but has no hidden folder.
        """
        # Then a share is probably not mounted, and all items would be fetched to the wrong disk.
        if was_full and self.folder.is_dir() and not self.path.is_dir():
            names = {"folder": str(self.path)}
            raise TryAgain(Reason("mirror_away", {}, names))
        for each in (self.path, self.partial, self.set_aside, self.receipts):
            each.mkdir(mode=0o750, exist_ok=True)

    def finish_exchanges(self) -> None:
        """Finish exchanges that a crash interrupted.

        The old entry is put back if the new one is not there yet, and removed if it is.
        """
        for old in sorted(self.set_aside.iterdir()):
            place = self.folder / old.name
            if os.path.lexists(place):
                remove_path(old)
            else:
                old.rename(place)
                sync_folder(self.folder)

    def exchange_entry(self, staged: Path, name: str) -> None:
        """Publish a staged file or folder under a name; an existing entry is replaced."""
        place, old = self.folder / name, self.set_aside / name
        if os.path.lexists(place):
            place.rename(old)
            sync_folder(self.set_aside)
        # A crash before this line leaves no entry: `finish_exchanges` then puts the old one back.
        staged.rename(place)
        sync_folder(self.folder)
        remove_path(old)

    def staging_path(self, wanted: Wanted) -> Path:
        """Return the staging folder for an item's content; other content has another folder."""
        content = hashlib.sha256(repr(sorted(wanted.identity)).encode()).hexdigest()[:16]
        return self.partial / f"{plain_name(wanted.item)}-{content}"

    def clear_staging(self, wanted: Iterable[Wanted]) -> None:
        """Remove the staging folders of all other items and contents."""
        needed = {self.staging_path(each).name for each in wanted}
        for path in self.partial.iterdir():
            if path.name not in needed:
                remove_path(path)

    def visible_names(self) -> list[str]:
        """Return the names in the outbox that are not hidden."""
        with os.scandir(self.folder) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith("."))


def plain_name(name: str) -> str:
    """Given a name from the server, return a safe file name."""
    flat = name.replace("/", "_")
    return str(safe_relative_path(flat, fallback="_")) if flat.strip() else "_"


class Names:
    """The names that are taken in a folder; upper and lower case count as the same."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {_fold_name(name) for name in taken}

    def take_free(self, stem: str, pk: str, suffix: str = "") -> str:
        """Return the first unused name of `name_candidates`, and mark it as taken."""
        names = name_candidates(stem, pk, suffix)
        found = next(name for name in names if _fold_name(name) not in self._taken)
        self._taken.add(_fold_name(found))
        return found


def name_candidates(stem: str, pk: str, suffix: str) -> Iterator[str]:
    """Given a stem, a pk and a suffix, yield names: without the pk, with it, with numbers."""
    yield with_suffix(stem, suffix)
    yield with_suffix(stem, f"-{plain_name(pk)}{suffix}")
    for number in count(2):
        yield with_suffix(stem, f"-{plain_name(pk)}.{number}{suffix}")


def _fold_name(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def has_files(folder: Path, files: Iterable[File]) -> bool:
    """Return whether a folder has all these files, with the right sizes."""
    return all(_file_bytes(folder / file.path) == file.size for file in files)


def _file_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def link_or_copy(source: Path, target: Path) -> None:
    """Given a file, make it available under another name, by a hard link or as a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileExistsError:
        return  # an earlier try with the same content made it
    except OSError:  # not all file systems have hard links
        partial = target.with_name(target.name + ".part")
        shutil.copyfile(source, partial)
        partial.replace(target)


def reuse_files(
    folder: Path, content: Content, place: PurePosixPath, staging: Staging
) -> tuple[Fetched, ...]:
    """Given a value's files in a folder, put them at their new path without fetching them.

    Return the files; none if one of them has changed since it was fetched.
    """
    if not all(_is_as_fetched(folder, file, staging) for file in content.files):
        return ()
    fetched = []
    for file in content.files:
        path = place / PurePosixPath(file.path).name if content.carrier == "image" else place
        link_or_copy(folder / file.path, staging.folder / path)
        fetched.append(Fetched(content.pk, str(path), file.size, file.sha256, file.odd or ""))
    return tuple(fetched)


def _is_as_fetched(folder: Path, file: File, staging: Staging) -> bool:
    path = folder / file.path
    same_size = _file_bytes(path) == file.size
    return same_size and staging.hash_file(path) == file.sha256


def move_to_free_name(source: Path, target: Path, names: Iterator[str], aside: Path) -> None:
    """Move a file or folder into another folder under the first of `names` that is unused there.

    To another file system it is copied; then the source is renamed to `aside`, a hidden path on its
    own file system, and removed. After a crash, a second call finishes the move.
    """
    target.mkdir(mode=0o750, parents=True, exist_ok=True)
    taken: list[Path] = []
    free = next(path for path in map(target.joinpath, names) if not _is_taken(path, taken))
    try:
        source.rename(free)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not any(_is_copy(source, path) for path in taken):
            _copy_to(source, free)
        source.rename(aside)
        remove_path(aside)
    sync_folder(target)
    sync_folder(source.parent)


def _is_taken(path: Path, taken: list[Path]) -> bool:
    if os.path.lexists(path):
        taken.append(path)
        return True
    return False


def _copy_to(source: Path, target: Path) -> None:
    partial = target.with_name(f".gcwatch-{hashlib.sha256(os.fsencode(target)).hexdigest()[:16]}")
    remove_path(partial)
    if source.is_dir():
        shutil.copytree(source, partial)
        sync_tree(partial)
    else:
        shutil.copyfile(source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
    partial.rename(target)


def _is_copy(source: Path, other: Path) -> bool:
    """Return whether two files, or all files of two folders, have the same bytes."""
    if source.is_dir() and other.is_dir():
        files = _relative_files(source)
        return files == _relative_files(other) and all(
            _is_copy(source / f, other / f) for f in files
        )
    return source.is_file() and other.is_file() and filecmp.cmp(source, other, shallow=False)


def _relative_files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}


def remove_path(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        remove_tree(path)
    else:
        path.unlink(missing_ok=True)
