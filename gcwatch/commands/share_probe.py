"""Tries in a probe folder what gcwatch does in a share, and says what its file system can't do."""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gcwatch.files.atomic import error_text
from gcwatch.files.beneath import SharePath
from gcwatch.files.lock import LockHeldError, exclusive_lock
from gcwatch.files.names import remove_tree


@dataclass(frozen=True)
class Lack:
    """Something that a file system can't do, in words; `hint` is set if gcwatch can't work so."""

    what: str
    hint: str = ""


_OTHER_PLACE: Final = "Name a folder on another file system, or mount it with other options."


@dataclass(frozen=True)
class _Trial:
    """One thing to try in an empty folder, and what is said if that raises OSError."""

    try_in: Callable[[SharePath], None]
    lack: str
    is_needed: bool = False


def probe_share(folder: Path, *, is_state: bool = False) -> Iterator[Lack]:
    """Given a folder, yield what can't be done in it; a probe folder is made and removed again."""
    probe = SharePath(folder) / f".gcwatch-probe-{secrets.token_hex(8)}"
    try:
        probe.mkdir(0o700)
    except OSError as error:
        yield Lack(f"no folder can be made in it ({error_text(error)})", _OTHER_PLACE)
        return
    try:
        for trial in _STATE_TRIALS if is_state else _SHARE_TRIALS:
            yield from _try(trial, probe)
    finally:
        left = _remove(probe)
    yield from left


def _try(trial: _Trial, probe: SharePath) -> Iterator[Lack]:
    place = probe / secrets.token_hex(4)
    try:
        place.mkdir(0o700)
        trial.try_in(place)
    except OSError as error:
        hint = _OTHER_PLACE if trial.is_needed else ""
        yield Lack(f"{trial.lack} ({error_text(error)})", hint)


def _remove(probe: SharePath) -> list[Lack]:
    try:
        remove_tree(probe)
    except OSError as error:
        what = f"nothing can be removed from it ({error_text(error)}); {probe.name} is left there"
        return [Lack(what, "Give the user that runs gcwatch the right to delete there.")]
    return []


# --- what is tried -------------------------------------------------------------------------------


def _write(path: SharePath) -> None:
    with path.create_file() as file:
        file.write(b"gcwatch")
        file.flush()
        os.fsync(file.fileno())


def _write_and_read(place: SharePath) -> None:
    _write(place / "file")
    with (place / "file").open_file() as file:
        if file.read() != b"gcwatch":
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def _set_modes(place: SharePath) -> None:
    _write(place / "file")
    with (place / "file").open_file() as file:
        for mode in (0o640, 0o600):
            os.fchmod(file.fileno(), mode)
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) != mode:
                raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def _replace(place: SharePath) -> None:
    _write(place / "old")
    _write(place / "new")
    (place / "new").rename(place / "old")


def _rename_folder(place: SharePath) -> None:
    (place / "one").mkdir()
    _write(place / "one" / "file")
    (place / "one").rename(place / "other")
    (place / "other" / "file").lstat()


def _sync_folder(place: SharePath) -> None:
    with place.open_folder() as descriptor:
        os.fsync(descriptor)


def _link(place: SharePath) -> None:
    _write(place / "file")
    (place / "file").link(place / "second name")


def _keep_names(*names: str) -> Callable[[SharePath], None]:
    def try_in(place: SharePath) -> None:
        for name in names:
            _write(place / name)
        if set(place.list_names()) != set(names):
            raise OSError(errno.EILSEQ, "it is stored under another name")

    return try_in


def _tell_cases_apart(place: SharePath) -> None:
    _write(place / "name")
    if (place / "NAME").exists():
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _lock(place: SharePath) -> None:
    _write(place / "lock")
    path = Path(str(place / "lock"))
    with exclusive_lock(path):
        try:
            with exclusive_lock(path):
                raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))
        except LockHeldError:
            return


_WRITING: Final = _Trial(_write_and_read, "a file can't be written, read and synced", True)
_MODES: Final = "it keeps no permissions: whoever can open it can read all that is in it"
_REPLACING: Final = _Trial(
    _replace,
    "a file can't be replaced by a rename: notes are missing for a moment while they change",
)
_SYNCING: Final = _Trial(
    _sync_folder, "it does not say when a name is on the disk: a power cut may undo the last change"
)

_SHARE_TRIALS: Final = (
    _WRITING,
    _Trial(_rename_folder, "a folder can't be renamed, so no result can be published there", True),
    _Trial(_set_modes, _MODES),
    _REPLACING,
    _SYNCING,
    _Trial(_link, "it has no hard links; gcwatch does without"),
    _Trial(
        _keep_names('a<b>:"c"', "d?e|f*", "dot.", "CON"),
        'names with < > : " ? * | or a dot at the end are refused: gcwatch replaces them by _',
    ),
    _Trial(_keep_names("é" * 100), "letters with accents are stored in another form"),
    _Trial(_keep_names("x" * 255), "long names are refused: a folder with such a name has to wait"),
    _Trial(_tell_cases_apart, "it does not tell capitals apart: of p1 and P1, one gets a number"),
)
_STATE_TRIALS: Final = (
    _WRITING,
    _Trial(_lock, "two programs are not kept apart by a lock", True),
    _Trial(_set_modes, _MODES, True),
    _Trial(_replace, "a file can't be replaced by a rename", True),
    _SYNCING,
)
