"""Finished folders, published by one rename, and what becomes of their sources."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from gcwatch.cases import Snapshot
from gcwatch.errors import CaseError, NotYet, SourceVanished
from gcwatch.files import disk_trouble, sync_folder, sync_tree, write_atomically
from gcwatch.inbox import SourceFile, digest, look
from gcwatch.units import Inbox

RECEIPT = "gcwatch.json"
"""The receipt's name in a published folder."""

_NAME_BYTES = 255
_PATH_BYTES = 1024
_FOLDER_MODE = 0o750
"""The group reads (a setgid outbox says which), the world never does, whatever the umask."""
_FILE_MODE = 0o640

_FORBIDDEN = re.compile(r'[<>:"|?*\\]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?")
"""Names that Windows, which may look at the outbox over a share, can't open."""
_IN_FLIGHT = re.compile(r"(?i).*\.(part|partial|tmp)|~\$.*", re.DOTALL)
"""Names of files that somebody is still writing."""


# --- names -------------------------------------------------------------------------------------


def safe_relative(relative: str, fallback: str) -> PurePosixPath:
    """Given a path that a server chose, return a harmless relative one; `fallback` if none is left.

    It has no absolute root, no "..", no hidden, control or reserved names, no component of more
    than 255 bytes, and is never the receipt's. Never raises.
    """
    parts = [_safe_name(part) for part in relative.split("/") if part not in {"", "."}]
    if parts and parts[0].lower() == RECEIPT:
        parts[0] = "_" + parts[0]
    path = "/".join(parts)
    if not parts or len(path.encode()) > _PATH_BYTES:
        return PurePosixPath(_safe_name(fallback.replace("/", "_")))
    return PurePosixPath(path)


def _safe_name(part: str) -> str:
    part = "".join("_" if _is_hostile(letter) else letter for letter in part)
    part = _FORBIDDEN.sub("_", part).strip()
    if part.startswith("."):
        part = "_" + part[1:]
    if _RESERVED.fullmatch(part):
        part = "_" + part
    stem, dot, suffix = part.rpartition(".")
    tail = dot + suffix if stem and len(suffix.encode()) <= 16 else ""
    part = _cut(part.removesuffix(tail), _NAME_BYTES - len(tail.encode())) + tail
    return re.sub(r"[. ]$", "_", part) or "_"


def _is_hostile(letter: str) -> bool:
    # Control and format characters (line ends, direction marks) and lone surrogates.
    return unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _cut(name: str, limit: int) -> str:
    """Given a name, return as many of its first letters as fit into `limit` bytes."""
    while len(os.fsencode(name)) > limit:
        name = name[:-1]
    return name


def suffixed(folder: str, suffix: str) -> str:
    """Given a name and a suffix, return both together, as far as a name may be long."""
    return _cut(folder, _NAME_BYTES - len(suffix)) + suffix


def _numbered(folder: str, number: int) -> str:
    return folder if number == 1 else suffixed(folder, f".{number}")


# --- publishing --------------------------------------------------------------------------------


def _staging(outbox: Path, key: str) -> Path:
    return outbox / f".{key}.partial"


def staging(outbox: Path, key: str) -> Path:
    """Given an outbox and a case's key, return the hidden folder where its results gather.

    Raise TryAgain (`disk`) if it can't be made.
    """
    path = _staging(outbox, key)
    with disk_trouble("writing to the outbox"):
        path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    return path


def publish(outbox: Path, key: str, folder: str, receipt: Mapping[str, Any]) -> str:
    """Given a case whose results are staged, publish them; return the name of their folder.

    It is `folder`, or `folder.2`, `.3` … where that is taken: nothing is ever replaced. For a
    series it is `<patient>/<series>`; the patient's folder is made before. Twice is once: what
    was published under this key is found by its receipt.

    Raise TryAgain (`disk`) if the outbox can't be written.
    """
    with disk_trouble("publishing"):
        place = _place(outbox, folder)
        if name := _published(outbox, key, folder):
            sync_folder(place.parent)
            return name
        source = staging(outbox, key)
        seal(source, json.dumps({**receipt, "key": key}, indent=2))
        _make_parent(outbox, place)
        return _beside(folder, take_free_name(source, place.parent, place.name))


def _place(outbox: Path, folder: str) -> Path:
    return outbox / folder


def _beside(folder: str, name: str) -> str:
    """Given a case's name, return the other name at its place."""
    parent, slash, _ = folder.rpartition("/")
    return parent + slash + name


def _make_parent(outbox: Path, place: Path) -> None:
    """See to it that a patient's folder is there, with the mode of all that is published."""
    if place.parent == outbox:
        return
    with contextlib.suppress(FileExistsError):
        place.parent.mkdir()
        _let_enter(place.parent)
        sync_folder(outbox)


def seal(source: Path, receipt: str) -> None:
    """Given a folder whose files are all there, add its receipt; then it may be published.

    The group may read all of it, and all of it is on the disk. Raise OSError if that can't be.
    """
    write_receipt(source / RECEIPT, receipt)
    let_group_read(source)
    sync_tree(source)


def write_receipt(path: Path, receipt: str) -> None:
    """Given a path and a receipt, put it there whole; raise OSError if that can't be."""
    write_atomically(path, receipt.encode(), _FILE_MODE)


def let_group_read(source: Path) -> None:
    """Set the modes of everything below a folder; a umask may have made them tighter."""
    for parent, _, names in os.walk(source):
        folder = Path(parent)
        _let_enter(folder)
        for name in names:
            (folder / name).chmod(_FILE_MODE)


def _let_enter(folder: Path) -> None:
    """Let the group enter a folder, which stays setgid if it is.

    A service may not set that bit, even where it is set (systemd's RestrictSUIDSGID=): where its
    umask has left nothing to be done, nothing is.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    wanted = _FOLDER_MODE | (mode & stat.S_ISGID)
    if mode != wanted:
        folder.chmod(wanted)


def take_free_name(source: Path, parent: Path, folder: str) -> str:
    """Given a folder that holds something, move it into `parent` under its first free name.

    Return that name; raise OSError if it can't be moved, with EXDEV to another file system.
    """
    for number in count(1):
        name = _numbered(folder, number)
        # The check alone would be a race with a second daemon. The rename settles it: one onto a
        # folder that holds something fails, and a published folder holds its receipt.
        if os.path.lexists(parent / name) or not _renamed(source, parent / name):
            continue
        sync_folder(parent)
        return name
    raise AssertionError


def _renamed(source: Path, target: Path) -> bool:
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
            return False
        raise
    return True


def published(outbox: Path, key: str, folder: str) -> str | None:
    """Given a case, return the name of its published folder, or None.

    Raise TryAgain (`disk`) if the outbox can't be read.
    """
    with disk_trouble("reading the outbox"):
        return _published(outbox, key, folder)


def _published(outbox: Path, key: str, folder: str) -> str | None:
    place = _place(outbox, folder)
    if place.parent != outbox and not place.parent.is_dir():
        return None
    for name in _namesakes(place.parent, place.name):
        if _key(place.with_name(name) / RECEIPT) == key:
            return _beside(folder, name)
    return None


def _namesakes(parent: Path, folder: str) -> list[str]:
    """Given a folder's name, return those entries of `parent` that may bear it, numbered or not."""
    with os.scandir(parent) as entries:
        return [entry.name for entry in entries if _is_namesake(entry.name, folder)]


def _is_namesake(name: str, folder: str) -> bool:
    number = re.search(r"\.([0-9]{1,9})\Z", name)
    return name == folder or (number is not None and name == _numbered(folder, int(number[1])))


def _key(receipt: Path) -> str | None:
    try:
        found = json.loads(receipt.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found.get("key") if isinstance(found, dict) else None


def discard(outbox: Path, key: str) -> None:
    """Given a case, remove its staging folder, if it is there.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk_trouble("clearing the outbox"):
        remove_tree(_staging(outbox, key))


def remove_tree(path: Path) -> None:
    """Given a folder, remove it and all in it; one that is not there is fine."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


# --- failures ----------------------------------------------------------------------------------


def _note(outbox: Path, folder: str) -> Path:
    place = _place(outbox, folder)
    return place.with_name(suffixed(place.name, ".failed.txt"))


def report_failure(outbox: Path, folder: str, text: str) -> None:
    """Given a failed case's folder name and what happened, write `<folder>.failed.txt`.

    Raise TryAgain (`disk`) if it can't be written.
    """
    with disk_trouble("writing to the outbox"):
        data = text.encode("utf-8", "backslashreplace")
        note = _note(outbox, folder)
        _make_parent(outbox, note)
        write_atomically(note, data, _FILE_MODE)


def clear_failure(outbox: Path, folder: str) -> None:
    """Given a case's folder name, remove its `<folder>.failed.txt`, if there is one.

    With a series goes the note on its patient's folder as a whole, in which no series was found.
    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk_trouble("clearing the outbox"):
        _note(outbox, folder).unlink(missing_ok=True)
        _note(outbox, folder.partition("/")[0]).unlink(missing_ok=True)


# --- the source, once delivered ----------------------------------------------------------------


def dispose(
    inbox: Inbox,
    name: str,
    after: Literal["keep", "move", "delete"],
    done: Path | None,
    expected: Snapshot,
) -> bool:
    """Given a delivered case, do with its files as the route says; return whether that is done.

    A case that is not as it was sent (`expected`), or a folder into which somebody still writes,
    is left alone: late files are never deleted. `done` is where "move" moves to. Twice is once.

    Raise TryAgain (`disk`) if it can't be done, or if the inbox is away.
    """
    if after == "keep":
        return True
    target = done if after == "move" else None
    with disk_trouble("clearing the inbox"):
        if inbox.is_part(name):
            return _Part(inbox, name, expected).dispose(target)
        return _Source(inbox.root, name, expected, inbox.ignore).dispose(target)


@dataclass(frozen=True)
class _Source:
    """A delivered folder in its inbox, and what it looked like when it was sent."""

    inbox: Path
    folder: str
    expected: Snapshot
    ignore: tuple[str, ...]

    def dispose(self, done: Path | None) -> bool:
        """Move the folder into `done`, or delete it; return whether that is done."""
        self.finish_earlier()
        if not self.is_there():
            return True
        if not self.is_as_sent(self.folder):
            return False
        return self.delete() if done is None else self.move(done, self.folder)

    def _hidden(self, suffix: str) -> str:
        return _hidden(self.folder, suffix)

    @property
    def _held(self) -> str:
        return self._hidden("held")

    @property
    def _doomed(self) -> Path:
        return self.inbox / self._hidden("doomed")

    def finish_earlier(self) -> None:
        """Finish what an earlier run began: what was doomed goes, what was held comes back."""
        remove_tree(self._doomed)
        if os.path.lexists(self.inbox / self._held):
            take_free_name(self.inbox / self._held, self.inbox, self.folder)

    def is_there(self) -> bool:
        """Return whether the folder stands in the inbox; raise OSError if that is away."""
        with os.scandir(self.inbox):
            return os.path.lexists(self.inbox / self.folder)

    def is_as_sent(self, name: str) -> bool:
        """Return whether the folder, now under this name, is as it was sent, and nobody writes."""
        try:
            now = look(self.inbox, name, self.ignore)
        except (CaseError, SourceVanished):
            return False
        return now.digest == self.expected.digest and not _is_written_to(self.inbox / name)

    def delete(self) -> bool:
        """Delete the folder unless something came late; return whether it is gone."""
        # Set aside first, so that whoever writes by path fails instead of losing a file; judged
        # there; and only then given the name under which a later run deletes without looking.
        held = self.inbox / self._held
        (self.inbox / self.folder).rename(held)
        if not self.is_as_sent(self._held):
            take_free_name(held, self.inbox, self.folder)
            return False
        held.rename(self._doomed)
        remove_tree(self._doomed)
        sync_folder(self.inbox)
        return True

    def move(self, done: Path, name: str) -> bool:
        """Move the folder into `done` under a name, if it is free; return whether it is there."""
        done.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        try:
            take_free_name(self.inbox / self.folder, done, name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy(done, name) and self.delete()
        sync_folder(self.inbox)
        return True

    def _copy(self, done: Path, name: str) -> bool:
        """Copy the folder to another file system; return False if it changed meanwhile."""
        if any(self._is_copy(done, each) for each in _namesakes(done, name)):
            return True
        partial = done / self._hidden("partial")
        remove_tree(partial)
        shutil.copytree(self.inbox / self.folder, partial, symlinks=True)
        sync_tree(partial)
        if not self.is_as_sent(self.folder):
            remove_tree(partial)
            return False
        take_free_name(partial, done, name)
        return True

    def _is_copy(self, done: Path, name: str) -> bool:
        return replace(self, inbox=done).is_as_sent(name)


def _hidden(name: str, suffix: str) -> str:
    return f".gcwatch-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.{suffix}"


# --- a source among others -----------------------------------------------------------------------

_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers leave in every folder."""


@dataclass(frozen=True)
class _Part:
    """A delivered series or file, which stands among what belongs to others.

    Its own files are gathered in a hidden folder of the inbox; that folder is then the source.
    Nothing else is touched.
    """

    inbox: Inbox
    name: str
    expected: Snapshot

    @property
    def _gathered(self) -> Path:
        return self.inbox.root / _hidden(self.name, "gathered")

    @property
    def _home(self) -> Path:
        """The file, or the patient's folder that holds the series."""
        return self.inbox.root / self.name.partition("/")[0]

    @property
    def _base(self) -> Path:
        """What the names of the files are relative to."""
        return self._home if "/" in self.name else self.inbox.root

    def _source(self, own: Sequence[SourceFile]) -> _Source:
        expected = replace(self.expected, digest=digest(own))
        return _Source(self.inbox.root, self._gathered.name, expected, self.inbox.ignore)

    def dispose(self, done: Path | None) -> bool:
        """Move the files into `done`, or delete them; return whether that is done."""
        self._finish_earlier()
        try:
            own = self._own() if self._is_as_sent() else []
        except SourceVanished:
            return True
        except NotYet:
            if self._is_gone():
                return True
            raise
        except CaseError:
            return False
        return bool(own) and self._take(own, done)

    def _is_as_sent(self) -> bool:
        return self.inbox.look(self.name).digest == self.expected.digest

    def _own(self) -> list[SourceFile]:
        """Return the case's files, but for those that a link leads to: they are somebody else's."""
        files = self.inbox.own_files(self.name)
        return [file for file in files if file.path == str(self._base / file.name)]

    def _is_gone(self) -> bool:
        """Whether it is gone from an inbox that is there, though bare; OSError if that is away."""
        with os.scandir(self.inbox.root):
            return not os.path.lexists(self._home)

    def _finish_earlier(self) -> None:
        """Finish what an earlier run began: what was gathered and not doomed comes back."""
        self._source(()).finish_earlier()
        self._give_back()

    def _take(self, own: Sequence[SourceFile], done: Path | None) -> bool:
        source = self._source(own)
        for file in own:
            self._gather(file)
        if source.is_as_sent(source.folder) and not self._has_more():
            self._tidy(own)  # first: what a crash leaves after the files are gone, stays
            if self._carry(source, done):
                return True
        self._give_back()
        return False

    def _gather(self, file: SourceFile) -> None:
        place = self._gathered / file.name
        place.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # taken away meanwhile: the digest shows it
            Path(file.path).rename(place)

    def _has_more(self) -> bool:
        """Whether a slice came while the others were gathered; raise NotYet if that is unclear."""
        try:
            return bool(self.inbox.own_files(self.name))
        except SourceVanished:
            return False
        except NotYet:
            if self._is_gone():
                return False
            raise
        except CaseError:
            return True

    def _give_back(self) -> None:
        for parent, _, names in os.walk(self._gathered):
            for name in names:
                file = Path(parent, name)
                place = self._base / file.relative_to(self._gathered)
                place.parent.mkdir(parents=True, exist_ok=True)
                _take_free_file_name(file, place.parent, name)
        remove_tree(self._gathered)

    def _carry(self, source: _Source, done: Path | None) -> bool:
        if done is None:
            return source.delete()
        parent, _, series = self.name.partition("/")
        return source.move(done / parent, series) if series else self._move_file(source, done)

    def _move_file(self, source: _Source, done: Path) -> bool:
        """Move the one file into `done` under a free name; return whether it is there."""
        file = self._gathered / self.name
        done.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        try:
            _take_free_file_name(file, done, self.name)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            return self._copy_file(source, done) and source.delete()
        sync_folder(done)
        remove_tree(self._gathered)
        return True

    def _copy_file(self, source: _Source, done: Path) -> bool:
        """Copy the file to another file system; return False if it changed meanwhile."""
        file = self._gathered / self.name
        if any(_is_copy(done / each, file) for each in _namesakes(done, self.name)):
            return True
        aside = done / _hidden(self.name, "partial")
        remove_tree(aside)
        aside.mkdir(mode=_FOLDER_MODE)
        shutil.copy2(file, aside / self.name)
        sync_tree(aside)
        if not source.is_as_sent(source.folder):
            remove_tree(aside)
            return False
        _take_free_file_name(aside / self.name, done, self.name)
        sync_folder(done)
        remove_tree(aside)
        return True

    def _tidy(self, own: Sequence[SourceFile]) -> None:
        """Remove a patient's folders in which nothing is left but a marker or litter."""
        if "/" not in self.name:
            return
        inside = {folder for file in own for folder in Path(file.name).parents}
        for folder in sorted(inside, key=lambda each: len(each.parts), reverse=True):
            self._remove_bare(self._home / folder)

    def _remove_bare(self, folder: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another of its series was the last one
            left = list(folder.iterdir())
            if all(path.name in {*_LITTER, self.inbox.ready} for path in left):
                for path in left:
                    path.unlink()
                with contextlib.suppress(OSError):  # something came in the meantime
                    folder.rmdir()


def _is_copy(path: Path, file: Path) -> bool:
    one, other = path.lstat(), file.lstat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _take_free_file_name(file: Path, parent: Path, name: str) -> None:
    """Given a file, move it into `parent` under its first free name.

    Raise OSError if it can't be moved, with EXDEV to another file system.
    """
    for number in count(1):
        target = parent / _numbered(name, number)
        try:
            # A rename would replace what stands there; a link never does.
            os.link(file, target, follow_symlinks=False)
        except FileExistsError:
            if not os.path.samestat(file.lstat(), target.lstat()):
                continue
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if os.path.lexists(target):
                continue
            file.rename(target)
            return
        file.unlink()
        return


def _is_written_to(path: Path) -> bool:
    """Given a folder, return whether it holds a file that goes by a name of unfinished ones."""
    return any(_IN_FLIGHT.fullmatch(name) for _, _, names in os.walk(path) for name in names)
