"""What both layouts of a mirror share: the hidden folder, names, and moving items away."""

import errno
import hashlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import file_digest
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from gcwatch.core.case import Fetched
from gcwatch.core.errors import TryAgain
from gcwatch.core.kinds import Kind
from gcwatch.core.reasons import Reason
from gcwatch.files.atomic import FOLDER_MODE, replace_file, sync_file, sync_folder, sync_tree
from gcwatch.files.beneath import SharePath
from gcwatch.files.copies import copy_file, copy_tree
from gcwatch.files.names import remove_tree, safe_relative_path, with_suffix
from gcwatch.files.receipt_file import LONGEST_RECEIPT_BYTES
from gcwatch.files.safe_open import read_small_file
from gcwatch.mirrors.receipts import Content, File, Held, Receipt, Wanted, parse_receipt
from gcwatch.outbox.outputs import Staging
from gcwatch.outbox.staging import StagingPlace, staging_key

HIDDEN: Final = ".gcwatch"
"""The hidden folder in a mirror's outbox; if it is missing, the outbox may not be mounted."""

MakeStaging = Callable[[SharePath], Staging]
"""Given a folder, return the object that fetches files into it."""

Seal = Callable[[str, tuple[Content, ...]], Receipt]
"""Given an item's name and its contents, return its receipt."""


class MirrorStorage(Protocol):
    """Items on disk, in one of the layouts. Methods may raise OSError."""

    def list_held(self, kind: Kind, slug: str) -> dict[str, Held]:
        """Given a kind of source and its slug, return its items on disk, by pk."""

    def choose_names(self, wanted: Sequence[tuple[Wanted, Held | None]]) -> None:
        """Given all items to fetch, prepare their names, and remove other staging folders."""

    def store_item(self, wanted: Wanted, held: Held | None, make: MakeStaging, seal: Seal) -> None:
        """Fetch the new content of an item and publish it; unchanged files are used again."""

    def replace_receipt(self, held: Held, receipt: Receipt) -> None:
        """Replace an item's receipt."""

    def move_item(self, held: Held, target: SharePath) -> None:
        """Move an item to another folder."""


class HiddenFolder:
    """The hidden folder of a mirror: staging folders, replaced entries, receipts of "flat".

    `notes` is the folder in the state directory that remembers which staging folders gcwatch made;
    whoever only reads a mirror needs none.
    """

    def __init__(self, folder: Path, notes: Path = Path()) -> None:
        self._notes = notes
        self.folder = SharePath(folder)
        self.path = self.folder / HIDDEN
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
            each.mkdir(FOLDER_MODE, exist_ok=True)

    def finish_exchanges(self) -> None:
        """Finish exchanges that a crash interrupted.

        The old entry is put back if the new one is not there yet, and removed if it is.
        """
        for name in self.set_aside.list_names():
            place, old = self.folder / name, self.set_aside / name
            if place.exists():
                remove_tree(old)
            else:
                old.rename(place)
                sync_folder(self.folder)

    def exchange_entry(self, staged: SharePath, name: str) -> None:
        """Publish a staged file or folder under a name; an existing entry is replaced."""
        place, old = self.folder / name, self.set_aside / name
        if place.exists():
            place.rename(old)
            sync_folder(self.set_aside)
        # A crash before this line leaves no entry: `finish_exchanges` then puts the old one back.
        staged.rename(place)
        sync_folder(self.folder)
        remove_tree(old)

    def staging_place(self, wanted: Wanted) -> StagingPlace:
        """Return where an item's content is collected; other content has another place."""
        content = hashlib.sha256(repr(sorted(wanted.identity)).encode()).hexdigest()[:16]
        key = f"{plain_name(wanted.item)}-{content}"
        return StagingPlace(self.folder.root, key, self._notes / f"{key}.json", self.partial.below)

    def clear_staging(self, wanted: Iterable[Wanted]) -> None:
        """Remove the staging folders of all other items and contents, and their notes."""
        needed = {self.staging_place(each).key for each in wanted}
        for name in self.partial.list_names():
            if staging_key(name) not in needed:
                remove_tree(self.partial / name)
        for note in self._notes.glob("*.json"):
            if note.stem not in needed:
                note.unlink(missing_ok=True)

    def receipt_paths(self) -> list[SharePath]:
        """Return the receipts of the layout "flat"; none if there is no folder of them."""
        if not self.receipts.is_dir():
            return []
        names = self.receipts.list_names()
        return [self.receipts / name for name in names if name.endswith(".json")]

    def visible_names(self) -> list[str]:
        """Return the names in the outbox that are not hidden."""
        return [name for name in self.folder.list_names() if not name.startswith(".")]


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


def has_files(folder: SharePath, files: Iterable[File]) -> bool:
    """Return whether a folder has all these files, with the right sizes."""
    return all(_file_bytes(folder, file) == file.size for file in files)


def _file_bytes(folder: SharePath, file: File) -> int | None:
    try:
        return (folder / file.path).lstat().st_size
    except (OSError, ValueError):  # ValueError: somebody changed the receipt
        return None


def link_or_copy(source: SharePath, target: SharePath) -> None:
    """Given a file, make it available under another name, by a hard link or as a copy."""
    target.make_parents()
    try:
        source.link(target)
    except FileExistsError:
        return  # an earlier try with the same content made it
    except OSError:  # not all file systems have hard links
        partial = target.with_name(with_suffix(target.name, ".part"))
        copy_file(source, partial)
        replace_file(partial, target)


def reuse_files(
    folder: SharePath, content: Content, place: PurePosixPath, staging: Staging
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


def _is_as_fetched(folder: SharePath, file: File, staging: Staging) -> bool:
    same_size = _file_bytes(folder, file) == file.size
    return same_size and staging.hash_file(folder / file.path) == file.sha256


def move_to_free_name(
    source: SharePath, target: SharePath, names: Iterator[str], aside: SharePath
) -> None:
    """Move a file or folder into another folder under the first of `names` that is unused there.

    To another file system it is copied; then the source is renamed to `aside`, a hidden path on its
    own file system, and removed. After a crash, a second call finishes the move.
    """
    taken: list[SharePath] = []
    free = next(path for name in names if not _is_taken(path := target / name, taken))
    try:
        source.rename(free)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        if not any(_is_copy(source, path) for path in taken):
            _copy_to(source, free)
        source.rename(aside)
        remove_tree(aside)
    sync_folder(target)
    sync_folder(source.parent)


def _is_taken(path: SharePath, taken: list[SharePath]) -> bool:
    if path.exists():
        taken.append(path)
        return True
    return False


def _copy_to(source: SharePath, target: SharePath) -> None:
    digest = hashlib.sha256(os.fsencode(str(target))).hexdigest()[:16]
    partial = target.with_name(f".gcwatch-{digest}")
    remove_tree(partial)
    if source.is_dir():
        copy_tree(source, partial)
        sync_tree(partial)
    else:
        copy_file(source, partial)
        sync_file(partial)
    partial.rename(target)


def _is_copy(source: SharePath, other: SharePath) -> bool:
    """Return whether two files, or all files of two folders, have the same bytes."""
    if source.is_dir() and other.is_dir():
        files = _relative_files(source)
        return files == _relative_files(other) and all(
            _is_copy(source / f, other / f) for f in files
        )
    return source.is_file() and other.is_file() and _have_same_bytes(source, other)


def _have_same_bytes(one: SharePath, other: SharePath) -> bool:
    with one.open_file() as first, other.open_file() as second:
        return file_digest(first, "sha256").digest() == file_digest(second, "sha256").digest()


def _relative_files(folder: SharePath) -> set[str]:
    return {path.relative_to(folder) for path in folder.walk_files()}


def read_mirror_receipt(path: SharePath) -> Receipt | None:
    """Given the path of an item's receipt, return it; None if there is none that makes sense."""
    content = read_small_file(path, LONGEST_RECEIPT_BYTES)
    return None if content is None else parse_receipt(content)
