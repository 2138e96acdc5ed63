"""Makes what is uploaded for one socket: one file, or one deterministic zip in the spool."""

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

_ZIP64_BYTES = 1024 * 1024 * 1024
"""Larger members are written as zip64, which is required from 2 GiB on."""

_Write = Callable[[BinaryIO], None]

_Prepare = Callable[[BinaryIO], _Write]
"""Given a file open for reading, return a function that writes it to a target.

A file that must not be sent is refused here, before anything is written.
"""


@dataclass(frozen=True)
class Bundle:
    """One upload: the file at `path` with `size` bytes, named `filename` on the platform.

    `files` is how many of the folder's files are in it, `left_out` how many are not. `source` is
    set if the file is sent directly from the inbox; then it must be opened with
    `safe_open.open_unchanged`. `warnings` tell why the platform may make a wrong or incomplete
    image of it.
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
    """One file of a bundle: its name in the bundle, its source, and how it is written."""

    name: str
    file: SourceFile
    prepare: _Prepare


def select_files(files: Sequence[SourceFile], pattern: str) -> tuple[SourceFile, ...]:
    """Given a folder's files and a glob, return the files whose names match."""
    return tuple(file for file in files if matches_pattern(file.name, pattern))


def file_bundle(file: SourceFile, *, stem: str) -> Bundle:
    """Given a file for a File socket, return its bundle; it is sent directly from the inbox.

    Its name on the platform is `stem` and its own suffix, if that is 1 to 6 letters or digits.
    Raise CannotSend (`empty_file`) if the file has no bytes.
    """
    if file.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": file.name}))
    return _bundle_from_inbox(file, stem + _plain_suffix(file))


def _plain_suffix(file: SourceFile) -> str:
    # In an unusual file name, the part after the last dot may be a patient's name.
    suffix = images.suffix_of(file.name)
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,6}", suffix) else ""


def _bundle_from_inbox(
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
    """Given the files for an image socket, return the upload: one file or one zip.

    A single file is sent directly from the inbox. Anything else is written to the folder `spool`
    and used again from there after a restart. `stem` is its name on the platform. Files in a zip
    are numbered, or keep their names with `keep_names`. The files of a MetaImage or of a MIRAX or
    Hamamatsu slide always get neutral names, also in the header or index that lists them.

    `deidentify` covers DICOM: elements, preamble and meta group. It does not cover the headers
    of other formats (MetaImage, NIfTI, NRRD, TIFF, OCT; a slide's name in Slidedat.ini), nor
    labels of slides, nor text that is burnt into pixels.

    What the platform would import wrongly is refused, or sent with warnings, as `integrity` says
    (see `images.recognise_images`). A file that can't be de-identified is never sent: with "warn"
    it is left out, with a warning (`left_out`).

    Raise CannotSend if the files are not exactly one image (`no_image`, `several_images`), if the
    image is incomplete (see `images.recognise_images`) or can't be de-identified
    (`not_deidentified`); SourceChanged if a file changed since it was listed; TryAgain (`disk`) if
    the spool can't be written.
    """
    listing = _listing_digest(
        files, deidentify=deidentify, keep_names=keep_names, integrity=integrity
    )
    with disk.disk_trouble("spooling"):
        if finished := _find_finished(spool, stem, listing):
            return finished[0]
        image, left_out = _find_one_image(files, socket, pattern, integrity, deidentify=deidentify)
        deidentifier = Deidentifier() if deidentify and image.is_dicom else None
        if len(image.files) == 1 and deidentifier is None:
            return _bundle_from_inbox(image.files[0], stem + image.suffix, left_out, image.warnings)
        members = _image_members(image, deidentifier, keep_names=keep_names)
        content = _SpoolContent(members, image.warnings, left_out, lenient=integrity == "warn")
        return _spool_one(spool, stem, listing, content)


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
    """Given the files for a DICOM Image Set socket, return the uploads: one for each file.

    They are in the order of `files`, named by `stem` and a number. De-identified copies refer to
    each other's new UIDs; they are written to the spool, and used again after a restart if all of
    them are there. `left_out` and `warnings` of the whole set are in the first bundle.

    Raise as `image_bundle` does, and CannotSend if the image is no DICOM (`wrong_content`) or if
    its files are not of one patient, study and series (`mixed_dicom_set`; platform 3.9).
    """
    listing = _listing_digest(files, deidentify=deidentify, integrity=integrity, each=True)
    with disk.disk_trouble("spooling"):
        if finished := _find_finished(spool, stem, listing):
            return finished
        image, left_out = _find_one_image(
            files, socket, pattern, integrity, deidentify=deidentify, joined=False
        )
        _require_set(image, socket)
        names = [f"{stem}-{number:04}.dcm" for number in range(1, len(image.files) + 1)]
        if not deidentify:
            named = zip(image.files, names, strict=True)
            bundles = [_bundle_from_inbox(file, name) for file, name in named]
            return _with_set_warnings(bundles, left_out, image.warnings)
        members = _file_members(names, image.files, Deidentifier())
        content = _SpoolContent(members, image.warnings, left_out, lenient=integrity == "warn")
        return _spool_each(spool, stem, listing, content)


def dicom_set_size(files: Sequence[SourceFile]) -> int:
    """Given the files for a DICOM Image Set socket, return how many uploads they need.

    Only headers are read, each one once. Raise SourceChanged if a file changed since it was listed.
    """
    return images.count_dicom(files)


def _require_set(image: images.Image, socket: str) -> None:
    if not image.is_dicom:
        facts = {"socket": socket, "problem": f"it is {image.kind}, not DICOM"}
        raise CannotSend(Reason("wrong_content", facts, {"file": image.files[0].name}))
    if image.mixed:
        elements = ", ".join(image.mixed)
        raise CannotSend(Reason("mixed_dicom_set", {"socket": socket, "elements": elements}))


def _with_set_warnings(
    bundles: Sequence[Bundle], left_out: int, warnings: tuple[Reason, ...]
) -> tuple[Bundle, ...]:
    """Given the bundles of one set, return them with the set's warnings in the first one."""
    first = dataclasses.replace(bundles[0], left_out=left_out, warnings=warnings)
    return first, *bundles[1:]


def sanitise_name(name: str) -> str:
    """Given a file or folder name, return it with only ASCII letters, digits, dots, "-" and "_"."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")


def discard_spool(spool: Path) -> None:
    """Given a case's spool, remove it if it exists.

    Raise TryAgain (`disk`) if it can't be removed.
    """
    with disk.disk_trouble("clearing the spool"), contextlib.suppress(FileNotFoundError):
        shutil.rmtree(spool)


# --- one image ---------------------------------------------------------------------------------


def _find_one_image(
    files: Sequence[SourceFile],
    socket: str,
    pattern: str,
    integrity: images.Integrity,
    *,
    deidentify: bool,
    joined: bool = True,
) -> tuple[images.Image, int]:
    found, left_out = images.recognise_images(
        files, integrity=integrity, deidentify=deidentify, joined=joined
    )
    if not found:
        raise CannotSend(Reason("no_image", {"socket": socket, "pattern": pattern}))
    if len(found) > 1:
        raise CannotSend(
            Reason("several_images", {"socket": socket, "found": _count_by_kind(found)})
        )
    return found[0], left_out


def _count_by_kind(found: Sequence[images.Image]) -> str:
    counts = collections.Counter(image.kind for image in found)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


# --- members -----------------------------------------------------------------------------------


def _image_members(
    image: images.Image, deidentifier: Deidentifier | None, *, keep_names: bool
) -> list[_Member]:
    if image.suffix == ".mhd":
        return _meta_image_members(*image.files)
    if image.suffix in {".mrxs", ".vms", ".vmu"}:
        return _slide_members(image)
    names = _kept_names(image.files) if keep_names else _opaque_names(len(image.files), ".dcm")
    return _file_members(names, image.files, deidentifier)


def _file_members(
    names: Sequence[str], files: Sequence[SourceFile], deidentifier: Deidentifier | None
) -> list[_Member]:
    return [
        _Member(name, file, _make_copier(file, deidentifier))
        for name, file in zip(names, files, strict=True)
    ]


def _make_copier(file: SourceFile, deidentifier: Deidentifier | None) -> _Prepare:
    if deidentifier is None:
        return _copy_unchanged
    return lambda stream: deidentifier.prepare_copy(stream, file)


def _copy_unchanged(stream: BinaryIO) -> _Write:
    return lambda target: shutil.copyfileobj(stream, target, disk.BUFFER_BYTES)


def _opaque_names(count: int, suffix: str) -> list[str]:
    return [f"{number:04}{suffix}" for number in range(1, count + 1)]


def _kept_names(files: Sequence[SourceFile]) -> list[str]:
    """Given files, return the last components of their names, made safe and unique."""
    names: list[str] = []
    taken: set[str] = set()
    for number, file in enumerate(files, start=1):
        name = sanitise_name(file.name.rpartition("/")[2])[-100:]
        # A zip may be unpacked on a file system that ignores case.
        while not name or name.lower() in taken:
            name = f"{number:04}_{name}"
        names.append(name)
        taken.add(name.lower())
    return names


def _meta_image_members(header: SourceFile, data: SourceFile) -> list[_Member]:
    name = "image.zraw" if images.suffix_of(data.name) == ".zraw" else "image.raw"

    def rewrite(stream: BinaryIO) -> _Write:
        old = images.meta_header(stream)
        new = re.sub(rb"(?m)^(ElementDataFile[ \t]*=).*$", rb"\1 " + name.encode(), old)
        return _write_bytes(new)

    return [_Member("image.mhd", header, rewrite), _Member(name, data, _copy_unchanged)]


def _slide_members(image: images.Image) -> list[_Member]:
    """Given a slide of several files, return them with numbers as names, and its new index."""
    first, *data = image.files
    folder = "image/" if image.suffix == ".mrxs" else ""
    names = {first: f"image{image.suffix}"}
    for number, file in enumerate(data, start=1):
        names[file] = f"{folder}{number:04}{_plain_suffix(file)}"
    index = slides.files_by_name(image.files)[slides.index_name(first.name)]
    if folder:
        names[index] = f"{folder}Slidedat.ini"

    def rewrite(stream: BinaryIO) -> _Write:
        old = stream.read()
        named = slides.find_named_files(old, index, slides.files_by_name(image.files))
        new = {name: names[file].rpartition("/")[2] for name, file in named.items() if file}
        return _write_bytes(slides.rename_files(old, lambda name: new.get(name, "missing")))

    return [
        _Member(name, file, rewrite if file is index else _copy_unchanged)
        for file, name in names.items()
    ]


def _write_bytes(data: bytes) -> _Write:
    def write(target: BinaryIO) -> None:
        target.write(data)

    return write


# --- the spool ---------------------------------------------------------------------------------


@dataclass
class _SpoolContent:
    """The members to write to the spool, and their warnings.

    If `lenient`, members that are refused are left out with a warning.
    """

    members: Sequence[_Member]
    warnings: tuple[Reason, ...]
    left_out: int
    lenient: bool
    written: int = 0

    def open_members(self) -> Iterator[tuple[_Member, _Write]]:
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
        self.warnings = (*self.warnings, Reason("left_out", reason.facts, reason.names))


def _listing_digest(files: Sequence[SourceFile], **options: str | bool) -> str:
    """Given files and the options of their bundle, return a SHA-256 over both."""
    total = hashlib.sha256(json.dumps(options, sort_keys=True).encode())
    for file in files:
        total.update(os.fsencode(file.name) + b"\0%d\0%d\0" % (file.size, file.mtime_ns))
    return total.hexdigest()


def _find_finished(spool: Path, stem: str, listing: str) -> tuple[Bundle, ...]:
    """Given a spool, return the bundles that an earlier run finished there for the same files."""
    # De-identified again, the files would have other random UIDs, and so other bytes than the
    # parts that are already uploaded.
    try:
        note = json.loads((spool / f"{stem}.json").read_bytes())
        bundles = tuple(_bundle_from_note(spool, facts) for facts in note["bundles"])
        whole = all(bundle.path.stat().st_size == bundle.size for bundle in bundles)
        return bundles if whole and note["listing"] == listing else ()
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return ()


def _bundle_from_note(spool: Path, facts: dict[str, Any]) -> Bundle:
    warnings = tuple(Reason(**reason) for reason in facts.pop("warnings"))
    return Bundle(spool / facts["filename"], source=None, warnings=warnings, **facts)


def _write_note(note: Path, bundles: Sequence[Bundle], listing: str) -> None:
    facts = [dataclasses.asdict(bundle) for bundle in bundles]
    for each in facts:
        del each["path"], each["source"]
    disk.write_atomically(note, json.dumps({"listing": listing, "bundles": facts}).encode())


def _spool_one(spool: Path, stem: str, listing: str, content: _SpoolContent) -> Bundle:
    """Given members, write them into one file of the spool, and return its bundle."""
    note = _begin_note(spool, stem)
    several = len(content.members) > 1
    path = spool / (stem + (".zip" if several else ".dcm"))
    with _replace_when_written(path) as stream:
        (_write_zip if several else _write_only)(stream, content)
    size = path.stat().st_size
    bundle = Bundle(
        path, path.name, size, content.written, content.left_out, None, content.warnings
    )
    _write_note(note, [bundle], listing)
    return bundle


def _spool_each(spool: Path, stem: str, listing: str, content: _SpoolContent) -> tuple[Bundle, ...]:
    """Given members, write each into a file of its own, and return their bundles."""
    note = _begin_note(spool, stem)
    written = []
    for member, write in content.open_members():
        path = spool / member.name
        with _create_private(path) as stream:
            write(stream)  # type: ignore[arg-type]
        written.append(Bundle(path, path.name, path.stat().st_size, 1, 0, None))
    disk.sync_tree(spool)
    bundles = _with_set_warnings(written, content.left_out, content.warnings)
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


def _write_zip(stream: IO[bytes], content: _SpoolContent) -> None:
    # Members opened by name have the date 1980-01-01 and mode 0600, so the same files give the
    # same bytes. They are stored: compressing 16-bit slices takes longer than sending them.
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for member, write in content.open_members():
            big = member.file.size > _ZIP64_BYTES
            with archive.open(member.name, "w", force_zip64=big) as target:
                write(target)  # type: ignore[arg-type]


def _write_only(stream: IO[bytes], content: _SpoolContent) -> None:
    for _, write in content.open_members():
        write(stream)  # type: ignore[arg-type]
