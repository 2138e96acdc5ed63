"""Writes the file that is uploaded into the spool, once, and finds it again after a restart."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile

_ZIP64_BYTES = 1024 * 1024 * 1024
"""Larger members are written as zip64, which is required from 2 GiB on."""


_CLEANING = "2"
"""Changes with what is removed from images: 1 left bytes in compressed pixels and in profiles."""


Write = Callable[[BinaryIO], None]


Prepare = Callable[[BinaryIO], Write]
"""Given a file open for reading, return a function that writes it to a target.

A file that must not be sent is refused here, before anything is written.
"""


@dataclass(frozen=True)
class Bundle:
    """One upload: a file with `size` bytes, named `filename` on the platform.

    `file` is in the spool, or a listed file of the inbox that is sent directly from there. `files`
    is how many of the folder's files are in it, `left_out` how many are not. `warnings` tell why
    the platform may make a wrong or incomplete image of it; `forecast` says what it must make of
    it. `content` is a digest of what DICOM images it holds, whatever de-identification makes of
    them (of a whole set in its first bundle); "" if the bytes themselves tell that.
    """

    file: Path | SourceFile
    filename: str
    size: int
    files: int
    left_out: int
    warnings: tuple[Reason, ...] = ()
    forecast: ImageForecast = UNKNOWN
    content: str = ""


@dataclass(frozen=True)
class Member:
    """One file of a bundle: its name in the bundle, its source, and how it is written."""

    name: str
    file: SourceFile
    prepare: Prepare


def with_set_facts(
    bundles: Sequence[Bundle], left_out: int, warnings: tuple[Reason, ...], content: str
) -> tuple[Bundle, ...]:
    """Given the bundles of one set, return them with what is said of the set in the first one."""
    first = dataclasses.replace(bundles[0], left_out=left_out, warnings=warnings, content=content)
    return first, *bundles[1:]


def discard_spool(spool: Path) -> None:
    """Given a case's spool, remove it if it exists.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk.disk_trouble("clearing the spool"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(spool)


@dataclass
class SpoolContent:
    """The members to write to the spool, their warnings, and the facts of their image.

    If `lenient`, members that are refused are left out with a warning, and there is no forecast.
    `suffix` is that of an upload of one file. `is_direct`: the members go out as they are, from
    the inbox.
    """

    members: Sequence[Member]
    warnings: tuple[Reason, ...]
    left_out: int
    lenient: bool
    forecast: ImageForecast = UNKNOWN
    content: str = ""
    suffix: str = ".dcm"
    is_direct: bool = False
    written: int = 0

    def open_members(self) -> Iterator[tuple[Member, Write]]:
        """Yield each member and the function that writes it, while its file is open.

        Raise CannotSend if a member is refused; if `lenient`, only if all members are refused.
        """
        refusal: CannotSend | None = None
        for member in self.members:
            with open_unchanged(member.file) as stream:
                try:
                    write = member.prepare(stream)
                except CannotSend as error:
                    refusal = error
                    self._leave_out(error)
                    continue
                yield member, write
                self.written += 1
        if refusal and not self.written:
            raise refusal

    def _leave_out(self, error: CannotSend) -> None:
        if not self.lenient:
            raise error
        reason = error.reason
        self.left_out += 1
        self.forecast = UNKNOWN
        self.warnings = (*self.warnings, Reason("left_out", reason.facts, reason.names))


def listing_digest(files: Sequence[SourceFile], **options: str | bool) -> str:
    """Given files and the options of their bundle, return a SHA-256 over both.

    What a version that removed less has spooled is not used again.
    """
    if options.get("deidentify"):
        options["cleaning"] = _CLEANING
    total = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()


def find_finished(spool: Path, stem: str, listing: str) -> tuple[Bundle, ...]:
    """Given a spool, return the bundles that an earlier run finished there for the same files."""
    # De-identified again, the files would have other random UIDs, and so other bytes than the
    # parts that are already uploaded.
    try:
        note = json.loads((spool / f"{stem}.json").read_bytes())
        bundles = tuple(_bundle_from_note(spool, facts) for facts in note["bundles"])
        whole = all((spool / each.filename).stat().st_size == each.size for each in bundles)
        return bundles if whole and note["listing"] == listing else ()
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return ()


def _bundle_from_note(spool: Path, facts: dict[str, Any]) -> Bundle:
    facts["warnings"] = tuple(Reason(**reason) for reason in facts["warnings"])
    forecast = facts.get("forecast", {})  # notes of earlier versions have none
    for name in {"shape", "voxel_sizes", "order"} & forecast.keys():
        forecast[name] = tuple(forecast[name])
    facts["forecast"] = ImageForecast(**forecast)
    return Bundle(spool / facts["filename"], **facts)


def _write_note(note: Path, bundles: Sequence[Bundle], listing: str) -> None:
    facts = [dataclasses.asdict(bundle) for bundle in bundles]
    for each in facts:
        del each["file"]
    disk.write_atomically(note, json.dumps({"listing": listing, "bundles": facts}).encode())


def spool_one(spool: Path, stem: str, listing: str, content: SpoolContent) -> Bundle:
    """Given members, write them into one file of the spool, and return its bundle."""
    note = _begin_note(spool, stem)
    several = len(content.members) > 1
    path = spool / (stem + (".zip" if several else content.suffix))
    with _replace_when_written(path) as stream:
        (_write_zip if several else _write_only)(stream, content)
    size = path.stat().st_size
    bundle = Bundle(
        path,
        path.name,
        size,
        content.written,
        content.left_out,
        content.warnings,
        content.forecast,
        content.content,
    )
    _write_note(note, [bundle], listing)
    return bundle


def spool_each(spool: Path, stem: str, listing: str, content: SpoolContent) -> tuple[Bundle, ...]:
    """Given members, write each into a file of its own, and return their bundles."""
    note = _begin_note(spool, stem)
    written = []
    for member, write in content.open_members():
        path = spool / member.name
        with _create_private(path) as stream:
            write(stream)  # type: ignore[arg-type]
        written.append(Bundle(path, path.name, path.stat().st_size, 1, 0))
    disk.sync_tree(spool)
    bundles = with_set_facts(written, content.left_out, content.warnings, content.content)
    _write_note(note, bundles, listing)
    return bundles


def _begin_note(spool: Path, stem: str) -> Path:
    """Given a spool, create it, and return the path of its note, which does not exist yet."""
    _make_private(spool)
    note = spool / f"{stem}.json"
    note.unlink(missing_ok=True)
    disk.sync_folder(spool)  # else a power cut could restore it, beside files of another run
    return note


def _make_private(spool: Path) -> None:
    spool.parent.mkdir(mode=0o700, exist_ok=True)
    spool.mkdir(mode=0o700, exist_ok=True)


def _create_private(path: Path) -> IO[bytes]:
    """Given a path, create a file there that only this user can open, and return it open."""
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "w+b")


@contextlib.contextmanager
def _replace_when_written(path: Path) -> Iterator[IO[bytes]]:
    """Given a path, yield a private file; it gets this path if the body succeeds."""
    partial = path.with_name(path.name + ".partial")
    try:
        with _create_private(partial) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    disk.sync_folder(path.parent)


def _write_zip(stream: IO[bytes], content: SpoolContent) -> None:
    # Members opened by name have the date 1980-01-01 and mode 0600, so the same files give the
    # same bytes. They are stored: compressing 16-bit slices takes longer than sending them.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for member, write in content.open_members():
            big = member.file.size > _ZIP64_BYTES
            with archive.open(member.name, "w", force_zip64=big) as target:
                write(target)  # type: ignore[arg-type]


def _write_only(stream: IO[bytes], content: SpoolContent) -> None:
    for _, write in content.open_members():
        write(stream)  # type: ignore[arg-type]
