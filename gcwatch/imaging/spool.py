"""Writes the file that is uploaded into the spool, once, and finds it again after a restart.

A zip whose size is known before is written while its first parts are sent.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Self, cast

from gcwatch.core.errors import CannotSend
from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.copies import Copy, Prepare
from gcwatch.imaging.zipped import ZipMember, write_zip, zip_bytes

_CLEANING = "2"
"""Changes with what is removed from images: 1 left bytes in compressed pixels and in profiles."""


_MOST_HELD_BYTES = 24 * 1024 * 1024
"""Of new headers, between the time when all files are judged and when they are written."""


@dataclass(frozen=True)
class Bundle:
    """One upload: a file with `size` bytes, named `filename` on the platform.

    `file` is in the spool, or a listed file of the inbox that is sent directly from there. `files`
    is how many of the folder's files are in it, `left_out` how many are not. `warnings` tell why
    the platform may make a wrong or incomplete image of it; `forecast` says what it must make of
    it. `content` is a digest of what DICOM images it holds, whatever de-identification makes of
    them (of a whole set in its first bundle); "" if the bytes themselves tell that. Each step of
    `growth` writes more of the file, and tells how many of its first bytes are final. `not_taken`
    names series of the folder that the route does not take.
    """

    file: Path | SourceFile
    filename: str
    size: int
    files: int
    left_out: int
    warnings: tuple[Reason, ...] = ()
    forecast: ImageForecast = UNKNOWN
    content: str = ""
    growth: Iterator[int] = field(default=iter(()), repr=False, compare=False)
    not_taken: tuple[Reason, ...] = ()

    def written(self) -> Self:
        """Write what is missing of the file."""
        for _ in self.growth:
            pass
        return self


@dataclass(frozen=True)
class Member:
    """One file of a bundle: its name in the bundle, its source, and how it is written."""

    name: str
    file: SourceFile
    prepare: Prepare


def with_set_facts(bundles: Sequence[Bundle], content: "SpoolContent") -> tuple[Bundle, ...]:
    """Given the bundles of one set, return them with what is said of the set in the first one."""
    first = dataclasses.replace(
        bundles[0],
        left_out=content.left_out,
        warnings=content.warnings,
        content=content.content,
        not_taken=content.not_taken,
    )
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
    not_taken: tuple[Reason, ...] = ()

    def open_members(self) -> Iterator[tuple[Member, BinaryIO, Copy]]:
        """Yield each member, its file, which is open meanwhile, and what goes out of it.

        Raise CannotSend if a member is refused; if `lenient`, only if all members are refused.
        """
        refusal: CannotSend | None = None
        for member in self.members:
            with open_unchanged(member.file) as stream:
                try:
                    copy = member.prepare(stream)
                    if self.lenient and copy.size is None:
                        copy.write(stream, NOWHERE)  # may refuse, too; half a member can't go out
                except CannotSend as error:
                    refusal = error
                    self._leave_out(error)
                    continue
                yield member, stream, copy
                self.written += 1
        if refusal and not self.written:
            raise refusal

    def sized_members(self) -> "list[_SizedMember] | None":
        """Return all members with what goes out of them; None if their sizes are not known.

        Nor are they if that would take too much memory. Raise as `open_members`.
        """
        found: list[_SizedMember] = []
        held = 0
        for member, _, copy in self.open_members():
            held += copy.held
            if copy.size is None or held > _MOST_HELD_BYTES:
                return None
            found.append(_SizedMember(member, copy, copy.size))
        return found

    def bundle(self, path: Path, size: int) -> Bundle:
        """Return the bundle of all members, given its file, and what this has or will have."""
        return Bundle(
            path,
            path.name,
            size,
            self.written,
            self.left_out,
            self.warnings,
            self.forecast,
            self.content,
            not_taken=self.not_taken,
        )

    def _leave_out(self, error: CannotSend) -> None:
        if not self.lenient:
            raise error
        reason = error.reason
        self.left_out += 1
        self.forecast = UNKNOWN
        self.warnings = (*self.warnings, Reason("left_out", reason.facts, reason.names))


@dataclass(frozen=True)
class _SizedMember:
    member: Member
    copy: Copy
    size: int

    def write(self, target: BinaryIO) -> None:
        """Write the member; raise SourceChanged if its file changed since it was judged."""
        with open_unchanged(self.member.file) as stream:
            self.copy.write(stream, target)


class _Nowhere:
    """A target that keeps nothing."""

    def write(self, data: bytes) -> int:
        """Return how many bytes were written."""
        return len(data)


NOWHERE = cast("BinaryIO", _Nowhere())


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
    for name in ("warnings", "not_taken"):
        facts[name] = tuple(Reason(**reason) for reason in facts.get(name, ()))
    forecast = facts.get("forecast", {})  # notes of earlier versions have none
    for name in {"shape", "voxel_sizes", "order"} & forecast.keys():
        forecast[name] = tuple(forecast[name])
    facts["forecast"] = ImageForecast(**forecast)
    return Bundle(spool / facts["filename"], **facts)


def _write_note(note: Path, bundles: Sequence[Bundle], listing: str) -> None:
    facts = [dataclasses.asdict(dataclasses.replace(each, growth=iter(()))) for each in bundles]
    for each in facts:
        del each["file"], each["growth"]
    disk.write_atomically(note, json.dumps({"listing": listing, "bundles": facts}).encode())


def spool_one(spool: Path, stem: str, listing: str, content: SpoolContent) -> Bundle:
    """Given members, return the bundle of one file of the spool with all of them.

    Several members make a zip. If its size is known before, it is written by `Bundle.growth`.
    """
    note = _begin_note(spool, stem)
    several = len(content.members) > 1
    path = spool / (stem + (".zip" if several else content.suffix))
    judged = dataclasses.replace(content)
    if several and (members := judged.sized_members()):
        sizes = ((each.member.name, each.member.file.size, each.size) for each in members)
        bundle = judged.bundle(path, zip_bytes(sizes))
        zipped = (ZipMember(e.member.name, e.member.file.size, e.write) for e in members)
        finish = partial(_write_note, note, [bundle], listing)
        return dataclasses.replace(bundle, growth=_grow(path, bundle.size, zipped, finish))
    with _create_synced(path) as stream:
        (_write_members if several else _write_only)(stream, content)
    bundle = content.bundle(path, path.stat().st_size)
    _write_note(note, [bundle], listing)
    return bundle


def _grow(
    path: Path, size: int, members: Iterable[ZipMember], finish: Callable[[], None]
) -> Iterator[int]:
    with disk.disk_trouble("spooling"):
        with _create_synced(path) as stream:
            yield from write_zip(stream, members)
            assert stream.tell() == size, "each member has the size that it was judged to have"
        finish()


def spool_each(spool: Path, stem: str, listing: str, content: SpoolContent) -> tuple[Bundle, ...]:
    """Given members, write each into a file of its own, and return their bundles."""
    note = _begin_note(spool, stem)
    written = []
    for member, source, copy in content.open_members():
        path = spool / member.name
        with _create_private(path) as stream:
            copy.write(source, stream)  # type: ignore[arg-type]
        written.append(Bundle(path, path.name, path.stat().st_size, 1, 0))
    disk.sync_tree(spool)
    bundles = with_set_facts(written, content)
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
def _create_synced(path: Path) -> Iterator[IO[bytes]]:
    """Given a path, yield a private file there, which is on disk after the body.

    Until a note tells of it, no file counts.
    """
    try:
        with _create_private(path) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        path.unlink(missing_ok=True)  # the disk may be full
        raise
    disk.sync_folder(path.parent)


def _write_members(stream: IO[bytes], content: SpoolContent) -> None:
    members = (
        ZipMember(member.name, member.file.size, partial(copy.write, source))
        for member, source, copy in content.open_members()
    )
    for _ in write_zip(stream, members):
        pass


def _write_only(stream: IO[bytes], content: SpoolContent) -> None:
    for _, source, copy in content.open_members():
        copy.write(source, stream)  # type: ignore[arg-type]
