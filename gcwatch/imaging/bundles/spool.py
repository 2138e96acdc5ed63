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
from functools import partial
from pathlib import Path
from typing import IO, Any

from gcwatch.core.forecast import ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.safe_open import read_state_file
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles.members import Bundle, SpoolContent, with_set_facts
from gcwatch.imaging.bundles.zipped import ZipMember, write_zip, zip_bytes

_CLEANING = "2"
"""Changes with what is removed from images: 1 left bytes in compressed pixels and in profiles."""


def discard_spool(spool: Path) -> None:
    """Given a case's spool, remove it if it exists.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk.disk_trouble("clearing the spool"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(spool)


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
    # Made again, they would have the same bytes, but that takes as long as the first time.
    try:
        note = json.loads(read_state_file(spool / f"{stem}.json"))
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
