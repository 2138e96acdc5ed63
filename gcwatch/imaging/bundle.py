"""Makes what is uploaded for one socket: one file, or one deterministic zip in the spool."""

import collections
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.patterns import matches_pattern
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import images, slides
from gcwatch.imaging.checks.text_header import read_meta_header
from gcwatch.imaging.deidentification.deidentify import NO_RULES, Deidentifier, DicomRules
from gcwatch.imaging.dicom.elements import missing_preamble
from gcwatch.imaging.dicom.procedure import Procedure, platform_procedure, with_own_classes
from gcwatch.imaging.formats import Image, Integrity, suffix_of
from gcwatch.imaging.scrubbing import allow_unscrubbed, is_clean, scrubbed_members
from gcwatch.imaging.spool import (
    Bundle,
    Member,
    Prepare,
    SpoolContent,
    Write,
    find_finished,
    listing_digest,
    spool_each,
    spool_one,
    with_set_facts,
)

_NAMED_IMAGES = 3
"""Images of one kind that are named if there are too many."""


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
    suffix = suffix_of(file.name)
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,6}", suffix) else ""


def _bundle_from_inbox(file: SourceFile, filename: str) -> Bundle:
    return Bundle(file, filename, file.size, 1, 0)


def image_bundle(
    files: Sequence[SourceFile],
    *,
    spool: Path,
    stem: str,
    socket: str,
    deidentify: bool,
    keep_names: bool,
    pattern: str = "**",
    integrity: Integrity = "refuse",
    rules: DicomRules = NO_RULES,
    unscrubbed: Sequence[str] = (),
) -> Bundle:
    """Given the files for an image socket, return the upload: one file or one zip.

    A single file is sent directly from the inbox. DICOM without a preamble, which the platform
    does not read, gets one, also without `deidentify`. Anything else is written to the folder
    `spool` and used again from there after a restart. `stem` is its name on the platform.

    Files in a zip are numbered, or keep their names with `keep_names`. The files of a MetaImage or
    of a MIRAX or Hamamatsu slide always get neutral names, also in the header or index that lists
    them.

    `deidentify` covers DICOM: elements, preamble, meta group, what is hidden beside pixels, and
    pictures of a slide's label. Files whose pixels may show a name are refused unless `rules`
    allow them. It covers the other formats (`scrub`), too. Of these, a single file that holds
    nothing but its image is sent directly. A format that can't be scrubbed is refused, or sent as
    it is with a warning (`sent_unscrubbed`) if `unscrubbed` names it.

    What the platform would import wrongly is refused, or sent with warnings, as `integrity` says
    (see `images.recognise_images`). A file that can't be de-identified is never sent: with "warn"
    it is left out, with a warning (`left_out`).

    Raise CannotSend if the files are not exactly one image (`no_image`, `several_images`), if the
    image is incomplete (see `images.recognise_images`) or can't be de-identified
    (`not_deidentified`); SourceChanged if a file changed since it was listed; TryAgain (`disk`) if
    the spool can't be written.
    """
    options = {"unscrubbed": ",".join(unscrubbed)} if unscrubbed else {}
    listing = listing_digest(
        files,
        deidentify=deidentify,
        keep_names=keep_names,
        integrity=integrity,
        **_told(rules),
        **options,
    )
    with disk.disk_trouble("spooling"):
        if finished := find_finished(spool, stem, listing):
            return finished[0]
        procedure = with_own_classes(rules.own) if deidentify else None
        image, left_out = _find_one_image(files, socket, pattern, integrity, procedure)
        is_scrubbed = deidentify and not image.is_dicom
        if is_scrubbed:
            image, is_scrubbed = allow_unscrubbed(image, unscrubbed)
        deidentifier = Deidentifier(procedure, rules) if procedure and image.is_dicom else None
        is_kept = not is_scrubbed or is_clean(image)
        if len(image.files) == 1 and deidentifier is None and not image.is_bare and is_kept:
            return replace(
                _bundle_from_inbox(image.files[0], stem + image.suffix),
                left_out=left_out,
                warnings=image.warnings,
                forecast=image.forecast,
                content=image.content,
            )
        members = (
            scrubbed_members(image)
            if is_scrubbed
            else _image_members(image, deidentifier, keep_names=keep_names)
        )
        content = SpoolContent(
            members,
            image.warnings,
            left_out,
            integrity == "warn" and image.is_dicom,
            image.forecast,
            image.content,
            image.suffix,
        )
        return spool_one(spool, stem, listing, content)


def dicom_set(
    files: Sequence[SourceFile],
    *,
    spool: Path,
    stem: str,
    socket: str,
    deidentify: bool,
    pattern: str = "**",
    integrity: Integrity = "refuse",
    rules: DicomRules = NO_RULES,
) -> tuple[Bundle, ...]:
    """Given the files for a DICOM Image Set socket, return the uploads: one for each file.

    They are in the order of `files`, named by `stem` and a number. De-identified copies refer to
    each other's new UIDs; they are written to the spool, and used again after a restart if all of
    them are there. `left_out` and `warnings` of the whole set are in the first bundle.

    Raise as `image_bundle` does, and CannotSend if the image is no DICOM (`wrong_content`) or if
    its files are not of one patient, study and series (`mixed_dicom_set`; platform 3.9).
    """
    listing = listing_digest(
        files, deidentify=deidentify, integrity=integrity, each=True, **_told(rules)
    )
    with disk.disk_trouble("spooling"):
        if finished := find_finished(spool, stem, listing):
            return finished
        procedure = platform_procedure() if deidentify else None
        image, left_out = _find_one_image(
            files, socket, pattern, integrity, procedure, joined=False
        )
        _require_set(image, socket)
        names = [f"{stem}-{number:04}.dcm" for number in range(1, len(image.files) + 1)]
        if not deidentify and not image.is_bare:
            named = zip(image.files, names, strict=True)
            bundles = [_bundle_from_inbox(file, name) for file, name in named]
            return with_set_facts(bundles, left_out, image.warnings, image.content)
        members = _file_members(names, image, Deidentifier(procedure, rules) if procedure else None)
        content = SpoolContent(
            members, image.warnings, left_out, integrity == "warn", content=image.content
        )
        return spool_each(spool, stem, listing, content)


def _told(rules: DicomRules) -> dict[str, str]:
    # Without rules, a bundle that an earlier version has spooled stays valid.
    return {} if rules == NO_RULES else {"rules": repr(rules)}


def _require_set(image: Image, socket: str) -> None:
    if not image.is_dicom:
        facts = {"socket": socket, "problem": f"it is {image.kind}, not DICOM"}
        raise CannotSend(Reason("wrong_content", facts, {"file": image.files[0].name}))
    if image.mixed:
        elements = ", ".join(image.mixed)
        raise CannotSend(Reason("mixed_dicom_set", {"socket": socket, "elements": elements}))


def sanitise_name(name: str) -> str:
    """Given a file or folder name, return it with only ASCII letters, digits, dots, "-" and "_"."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")


# --- one image ---------------------------------------------------------------------------------


def _find_one_image(
    files: Sequence[SourceFile],
    socket: str,
    pattern: str,
    integrity: Integrity,
    procedure: Procedure | None,
    *,
    joined: bool = True,
) -> tuple[Image, int]:
    found, left_out = images.recognise_images(
        files, integrity=integrity, procedure=procedure, joined=joined
    )
    if not found:
        raise CannotSend(Reason("no_image", {"socket": socket, "pattern": pattern}))
    if len(found) > 1:
        facts = {"socket": socket, "found": _count_by_kind(found)}
        raise CannotSend(Reason("several_images", facts, {"found": _name_by_kind(found)}))
    return found[0], left_out


def _count_by_kind(found: Sequence[Image]) -> str:
    counts = collections.Counter(image.kind for image in found)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _name_by_kind(found: Sequence[Image]) -> str:
    """As `_count_by_kind`, with the first file of some images: one of them may be a logo."""
    names = collections.defaultdict[str, list[str]](list)
    for image in found:
        names[image.kind].append(image.files[0].name)
    return ", ".join(f"{len(all_)} {kind} ({_some(all_)})" for kind, all_ in sorted(names.items()))


def _some(names: Sequence[str]) -> str:
    more = ["..."] if len(names) > _NAMED_IMAGES else []
    return ", ".join([*names[:_NAMED_IMAGES], *more])


# --- members -----------------------------------------------------------------------------------


def _image_members(
    image: Image, deidentifier: Deidentifier | None, *, keep_names: bool
) -> list[Member]:
    if image.suffix == ".mhd":
        return _meta_image_members(*image.files)
    if image.suffix in {".mrxs", ".vms", ".vmu"}:
        return _slide_members(image)
    names = _kept_names(image.files) if keep_names else _opaque_names(len(image.files), ".dcm")
    return _file_members(names, image, deidentifier)


def _file_members(
    names: Sequence[str], image: Image, deidentifier: Deidentifier | None
) -> list[Member]:
    plain = _copy_with_preamble if image.is_bare else _copy_unchanged
    return [
        Member(name, file, _make_copier(file, deidentifier, plain))
        for name, file in zip(names, image.files, strict=True)
    ]


def _make_copier(file: SourceFile, deidentifier: Deidentifier | None, plain: Prepare) -> Prepare:
    if deidentifier is None:
        return plain
    return lambda stream: deidentifier.prepare_copy(stream, file)


def _copy_unchanged(stream: BinaryIO) -> Write:
    return lambda target: shutil.copyfileobj(stream, target, disk.BUFFER_BYTES)


def _copy_with_preamble(stream: BinaryIO) -> Write:
    preamble = missing_preamble(stream)
    stream.seek(0)
    copy = _copy_unchanged(stream)

    def write(target: BinaryIO) -> None:
        target.write(preamble)
        copy(target)

    return write


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


def _meta_image_members(header: SourceFile, data: SourceFile) -> list[Member]:
    name = "image.zraw" if suffix_of(data.name) == ".zraw" else "image.raw"

    def rewrite(stream: BinaryIO) -> Write:
        old = read_meta_header(stream)
        new = re.sub(rb"(?m)^(ElementDataFile[ \t]*=).*$", rb"\1 " + name.encode(), old)
        return _write_bytes(new)

    return [Member("image.mhd", header, rewrite), Member(name, data, _copy_unchanged)]


def _slide_members(image: Image) -> list[Member]:
    """Given a slide of several files, return them with numbers as names, and its new index."""
    first, *data = image.files
    folder = "image/" if image.suffix == ".mrxs" else ""
    names = {first: f"image{image.suffix}"}
    for number, file in enumerate(data, start=1):
        names[file] = f"{folder}{number:04}{_plain_suffix(file)}"
    index = slides.files_by_name(image.files)[slides.index_name(first.name)]
    if folder:
        names[index] = f"{folder}Slidedat.ini"

    def rewrite(stream: BinaryIO) -> Write:
        old = stream.read()
        named = slides.find_named_files(old, index, slides.files_by_name(image.files))
        new = {name: names[file].rpartition("/")[2] for name, file in named.items() if file}
        return _write_bytes(slides.rename_files(old, lambda name: new.get(name, "missing")))

    return [
        Member(name, file, rewrite if file is index else _copy_unchanged)
        for file, name in names.items()
    ]


def _write_bytes(data: bytes) -> Write:
    def write(target: BinaryIO) -> None:
        target.write(data)

    return write


# --- the spool ---------------------------------------------------------------------------------
