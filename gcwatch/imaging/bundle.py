"""What goes out for one socket: one file, or one deterministic zip in the spool."""

import collections
import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.patterns import matches_pattern
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import images, slides
from gcwatch.imaging.deidentify import Deidentifier

_ZIP64 = 1024 * 1024 * 1024
"""Bytes from which on a member is written as zip64: well below the 2 GiB where it must be."""

_Write = Callable[[BinaryIO], None]

_Prepare = Callable[[BinaryIO], _Write]
"""Given a file open for reading, what writes it to a target; what can be refused is so before."""


@dataclass(frozen=True)
class Bundle:
    """What goes out: `path`, `size` bytes, as `filename`.

    `files` of the folder are in it, `left_out` are not. `source` is set if it is sent straight
    from the inbox; then it must be opened with `inbox.open_unchanged`. `warnings` tell why the
    platform may make a wrong or an incomplete image of it.
    """

    path: Path
    filename: str
    size: int
    files: int
    left_out: int
    source: SourceFile | None
    warnings: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class _Member:
    """One file of a bundle: its name there, where it comes from, and how it is written."""

    name: str
    file: SourceFile
    prepare: _Prepare


def select(files: Sequence[SourceFile], pattern: str) -> tuple[SourceFile, ...]:
    """Given a folder's files and a glob over their names, return those that match."""
    return tuple(file for file in files if matches_pattern(file.name, pattern))


def file_bundle(file: SourceFile, *, stem: str) -> Bundle:
    """Given a file for a File socket, return it as it goes out: straight from the inbox.

    Its name on the platform is `stem` and its own suffix, if that is a plain one. Raise CannotSend
    (`empty_file`) if the file has no bytes.
    """
    if file.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": file.name}))
    return _straight(file, stem + _plain_suffix(file))


def _plain_suffix(file: SourceFile) -> str:
    # What follows the last dot of an odd name may be a person's.
    suffix = images.suffix_of(file.name)
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,6}", suffix) else ""


def _straight(
    file: SourceFile, filename: str, left_out: int = 0, warnings: tuple[Reason, ...] = ()
) -> Bundle:
    return Bundle(Path(file.path), filename, file.size, 1, left_out, file, warnings)


def image_bundle(
    files: Sequence[SourceFile],
    *,
    spool: Path,
    stem: str,
    socket: str,
    deidentify: bool,
    keep_names: bool,
    pattern: str = "**",
    integrity: images.Integrity = "refuse",
) -> Bundle:
    """Given the files for an image socket, return what goes out: one file or one zip.

    A single file goes straight from the inbox, anything else is spooled in the folder `spool`,
    and found there again after a restart. `stem` names it on the platform; what is inside has
    numbers for names, unless `keep_names`. Headers and indexes that name other files (MetaImage,
    MIRAX, Hamamatsu) name them by the new names; those always have neutral ones.

    `deidentify` covers DICOM: elements, preamble and meta group. It does not cover the headers
    of other formats (MetaImage, NIfTI, NRRD, TIFF, OCT; a slide's name in Slidedat.ini), nor
    labels of slides, nor what is burnt into pixels.

    What the platform would import wrongly is refused, or sent with warnings, as `integrity` says
    (`images.recognise`). A file that can't be de-identified never goes out: with "warn" it is
    left out, and a warning tells so (`left_out`).

    Raise CannotSend if the files are not exactly one image (`no_image`, `several_images`), if it
    is not whole (`images.recognise`) or can't be de-identified (`not_deidentified`);
    SourceChanged if a file is not as listed; TryAgain (`disk`) if the spool can't be written.
    """
    listing = _listing(files, deidentify=deidentify, keep_names=keep_names, integrity=integrity)
    with disk.disk_trouble("spooling"):
        if finished := _finished(spool, stem, listing):
            return finished[0]
        image, left_out = _one_image(files, socket, pattern, integrity)
        deidentifier = Deidentifier() if deidentify and image.is_dicom else None
        if len(image.files) == 1 and deidentifier is None:
            return _straight(image.files[0], stem + image.suffix, left_out, image.warnings)
        members = _members(image, deidentifier, keep_names=keep_names)
        parcel = _Parcel(members, image.warnings, left_out, lenient=integrity == "warn")
        return _spool(spool, stem, listing, parcel)


def dicom_set(
    files: Sequence[SourceFile],
    *,
    spool: Path,
    stem: str,
    socket: str,
    deidentify: bool,
    pattern: str = "**",
    integrity: images.Integrity = "refuse",
) -> tuple[Bundle, ...]:
    """Given the files for a DICOM Image Set socket, return what goes out: one upload a file.

    They are in the order of `files`, named by `stem` and a number. De-identified copies have one
    another's UIDs; they are spooled, and found again after a restart if all of them are there.
    `left_out` and `warnings` are those of the whole set and stand with its first file.

    Raise as `image_bundle` does, and CannotSend if the image is no DICOM (`wrong_content`) or if
    its files are not of one patient, study and series (`mixed_dicom_set`; platform 3.9).
    """
    listing = _listing(files, deidentify=deidentify, integrity=integrity, each=True)
    with disk.disk_trouble("spooling"):
        if finished := _finished(spool, stem, listing):
            return finished
        image, left_out = _one_image(files, socket, pattern, integrity)
        _require_set(image, socket)
        names = [f"{stem}-{number:04}.dcm" for number in range(1, len(image.files) + 1)]
        if not deidentify:
            named = zip(image.files, names, strict=True)
            bundles = [_straight(file, name) for file, name in named]
            return _told(bundles, left_out, image.warnings)
        members = _named(names, image.files, Deidentifier())
        parcel = _Parcel(members, image.warnings, left_out, lenient=integrity == "warn")
        return _spool_each(spool, stem, listing, parcel)


def dicom_set_size(files: Sequence[SourceFile]) -> int:
    """Given the files for a DICOM Image Set socket, return how many uploads they need.

    Only headers are read, and those only once. Raise SourceChanged if a file is not as listed.
    """
    return images.count_dicom(files)


def _require_set(image: images.Image, socket: str) -> None:
    if not image.is_dicom:
        facts = {"socket": socket, "problem": f"it is {image.kind}, not DICOM"}
        raise CannotSend(Reason("wrong_content", facts, {"file": image.files[0].name}))
    if image.mixed:
        elements = ", ".join(image.mixed)
        raise CannotSend(Reason("mixed_dicom_set", {"socket": socket, "elements": elements}))


def _told(
    bundles: Sequence[Bundle], left_out: int, warnings: tuple[Reason, ...]
) -> tuple[Bundle, ...]:
    """Given the bundles of one set, return them with what is to be told of it."""
    first = dataclasses.replace(bundles[0], left_out=left_out, warnings=warnings)
    return first, *bundles[1:]


def sanitised(name: str) -> str:
    """Given a file or folder name, return it in letters that are safe everywhere."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")


def discard(spool: Path) -> None:
    """Given a case's spool, remove it, if it is there.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk.disk_trouble("clearing the spool"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(spool)


# --- one image ---------------------------------------------------------------------------------


def _one_image(
    files: Sequence[SourceFile], socket: str, pattern: str, integrity: images.Integrity
) -> tuple[images.Image, int]:
    found, left_out = images.recognise(files, integrity=integrity)
    if not found:
        raise CannotSend(Reason("no_image", {"socket": socket, "pattern": pattern}))
    if len(found) > 1:
        raise CannotSend(Reason("several_images", {"socket": socket, "found": _counted(found)}))
    return found[0], left_out


def _counted(found: Sequence[images.Image]) -> str:
    counts = collections.Counter(image.kind for image in found)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


# --- members -----------------------------------------------------------------------------------


def _members(
    image: images.Image, deidentifier: Deidentifier | None, *, keep_names: bool
) -> list[_Member]:
    if image.suffix == ".mhd":
        return _meta_pair(*image.files)
    if image.suffix in {".mrxs", ".vms", ".vmu"}:
        return _slide(image)
    names = _kept_names(image.files) if keep_names else _opaque_names(len(image.files), ".dcm")
    return _named(names, image.files, deidentifier)


def _named(
    names: Sequence[str], files: Sequence[SourceFile], deidentifier: Deidentifier | None
) -> list[_Member]:
    return [
        _Member(name, file, _copier(file, deidentifier))
        for name, file in zip(names, files, strict=True)
    ]


def _copier(file: SourceFile, deidentifier: Deidentifier | None) -> _Prepare:
    if deidentifier is None:
        return _as_it_is
    return lambda stream: deidentifier.prepare(stream, file)


def _as_it_is(stream: BinaryIO) -> _Write:
    return lambda target: shutil.copyfileobj(stream, target, disk.BUFFER)


def _opaque_names(count: int, suffix: str) -> list[str]:
    return [f"{number:04}{suffix}" for number in range(1, count + 1)]


def _kept_names(files: Sequence[SourceFile]) -> list[str]:
    """Given files, return their last components, made harmless and unique."""
    names: list[str] = []
    taken: set[str] = set()
    for number, file in enumerate(files, start=1):
        name = sanitised(file.name.rpartition("/")[2])[-100:]
        # Zips are unpacked on file systems that may not tell upper from lower case.
        while not name or name.lower() in taken:
            name = f"{number:04}_{name}"
        names.append(name)
        taken.add(name.lower())
    return names


def _meta_pair(header: SourceFile, data: SourceFile) -> list[_Member]:
    name = "image.zraw" if images.suffix_of(data.name) == ".zraw" else "image.raw"

    def rewrite(stream: BinaryIO) -> _Write:
        old = images.meta_header(stream)
        new = re.sub(rb"(?m)^(ElementDataFile[ \t]*=).*$", rb"\1 " + name.encode(), old)
        return _writing(new)

    return [_Member("image.mhd", header, rewrite), _Member(name, data, _as_it_is)]


def _slide(image: images.Image) -> list[_Member]:
    """Given a slide of several files, return them under numbers, and its index with these."""
    first, *data = image.files
    folder = "image/" if image.suffix == ".mrxs" else ""
    names = {first: f"image{image.suffix}"}
    for number, file in enumerate(data, start=1):
        names[file] = f"{folder}{number:04}{_plain_suffix(file)}"
    index = slides.by_name(image.files)[slides.index_name(first.name)]
    if folder:
        names[index] = f"{folder}Slidedat.ini"

    def rewrite(stream: BinaryIO) -> _Write:
        old = stream.read()
        named = slides.named(old, index, slides.by_name(image.files))
        new = {name: names[file].rpartition("/")[2] for name, file in named.items() if file}
        return _writing(slides.renamed(old, lambda name: new.get(name, "missing")))

    return [
        _Member(name, file, rewrite if file is index else _as_it_is) for file, name in names.items()
    ]


def _writing(data: bytes) -> _Write:
    def write(target: BinaryIO) -> None:
        target.write(data)

    return write


# --- the spool ---------------------------------------------------------------------------------


@dataclass
class _Parcel:
    """Members on their way into one file, and what is to be told of them.

    If `lenient`, members that can't be written are left out.
    """

    members: Sequence[_Member]
    warnings: tuple[Reason, ...]
    left_out: int
    lenient: bool
    written: int = 0

    def each(self) -> Iterator[tuple[_Member, _Write]]:
        """Yield each member with what writes it, while it is open.

        Raise CannotSend if one is refused, or all are.
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
        self.warnings = (*self.warnings, Reason("left_out", reason.facts, reason.names))


def _listing(files: Sequence[SourceFile], **options: str | bool) -> str:
    """Given files and how they are bundled, return a SHA-256 that stands for both."""
    total = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()


def _finished(spool: Path, stem: str, listing: str) -> tuple[Bundle, ...]:
    """Given a spool, return the bundles that an earlier run finished there for the same files.

    They must be used again: de-identified once more they would have other bytes.
    """
    try:
        note = json.loads((spool / f"{stem}.json").read_bytes())
        bundles = tuple(_recalled(spool, facts) for facts in note["bundles"])
        whole = all(bundle.path.stat().st_size == bundle.size for bundle in bundles)
        return bundles if whole and note["listing"] == listing else ()
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return ()


def _recalled(spool: Path, facts: dict[str, Any]) -> Bundle:
    warnings = tuple(Reason(**reason) for reason in facts.pop("warnings"))
    return Bundle(spool / facts["filename"], source=None, warnings=warnings, **facts)


def _remember(note: Path, bundles: Sequence[Bundle], listing: str) -> None:
    facts = [dataclasses.asdict(bundle) for bundle in bundles]
    for each in facts:
        del each["path"], each["source"]
    disk.write_atomically(note, json.dumps({"listing": listing, "bundles": facts}).encode())


def _spool(spool: Path, stem: str, listing: str, parcel: _Parcel) -> Bundle:
    """Given members, write them into one file, and return that."""
    note = _note(spool, stem)
    several = len(parcel.members) > 1
    path = spool / (stem + (".zip" if several else ".dcm"))
    with _written(path) as stream:
        (_write_zip if several else _write_only)(stream, parcel)
    size = path.stat().st_size
    bundle = Bundle(path, path.name, size, parcel.written, parcel.left_out, None, parcel.warnings)
    _remember(note, [bundle], listing)
    return bundle


def _spool_each(spool: Path, stem: str, listing: str, parcel: _Parcel) -> tuple[Bundle, ...]:
    """Given members, write each into a file of its own, and return all."""
    note = _note(spool, stem)
    written = []
    for member, write in parcel.each():
        path = spool / member.name
        with _private(path) as stream:
            write(stream)  # type: ignore[arg-type]
        written.append(Bundle(path, path.name, path.stat().st_size, 1, 0, None))
    disk.sync_tree(spool)
    bundles = _told(written, parcel.left_out, parcel.warnings)
    _remember(note, bundles, listing)
    return bundles


def _note(spool: Path, stem: str) -> Path:
    """Given a spool, make it, and return where its note will stand, which does not yet."""
    _make_private(spool)
    note = spool / f"{stem}.json"
    note.unlink(missing_ok=True)
    disk.sync_folder(spool)  # or a power cut could bring it back, beside files of another run
    return note


def _make_private(spool: Path) -> None:
    spool.parent.mkdir(mode=0o700, exist_ok=True)
    spool.mkdir(mode=0o700, exist_ok=True)


def _private(path: Path) -> IO[bytes]:
    """Given a path, return a new file there that only this user can open."""
    path.unlink(missing_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "w+b")


@contextlib.contextmanager
def _written(path: Path) -> Iterator[IO[bytes]]:
    """Given a path, yield a private file that takes its place once the body has succeeded."""
    partial = path.with_name(path.name + ".partial")
    try:
        with _private(partial) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    disk.sync_folder(path.parent)


def _write_zip(stream: IO[bytes], parcel: _Parcel) -> None:
    # Members made from names have the date 1980-01-01 and mode 0600: the same files give the
    # same bytes. Stored: deflating 16-bit slices takes longer than sending what it saves.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for member, write in parcel.each():
            big = member.file.size > _ZIP64
            with archive.open(member.name, "w", force_zip64=big) as target:
                write(target)  # type: ignore[arg-type]


def _write_only(stream: IO[bytes], parcel: _Parcel) -> None:
    for _, write in parcel.each():
        write(stream)  # type: ignore[arg-type]
