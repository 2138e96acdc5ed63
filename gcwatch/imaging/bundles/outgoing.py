"""What goes out of a socket's files: each as a member that is copied, cleaned or de-identified."""

import collections
import re
import shutil
from collections.abc import Sequence
from typing import BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import images, slides
from gcwatch.imaging.bundles.members import Member, SpoolContent
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.scrubbing import allow_unscrubbed, is_clean, scrubbed_members
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.checks.text_header import read_meta_header
from gcwatch.imaging.copies import Copy, Prepare
from gcwatch.imaging.deidentification.deidentify import Deidentifier
from gcwatch.imaging.dicom.elements import missing_preamble
from gcwatch.imaging.dicom.procedure import Procedure, platform_procedure, with_own_classes
from gcwatch.imaging.formats import Image, suffix_of

_NAMED_IMAGES = 3
"""Images of one kind that are named if there are too many."""


def image_content(files: Sequence[SourceFile], options: BundleOptions) -> SpoolContent:
    """Given the files for an image socket, return what goes out of them; see `image_bundle`."""
    procedure = with_own_classes(options.rules.own) if options.deidentify else None
    image, left_out = _find_one_image(files, options, procedure)
    is_scrubbed = options.deidentify and not image.is_dicom
    if is_scrubbed:
        image, is_scrubbed = allow_unscrubbed(image, options.unscrubbed)
    deidentifier = Deidentifier(procedure, options.rules) if procedure and image.is_dicom else None
    is_kept = not is_scrubbed or is_clean(image)
    is_direct = len(image.files) == 1 and deidentifier is None and not image.is_bare and is_kept
    return SpoolContent(
        scrubbed_members(image)
        if is_scrubbed and not is_direct
        else _image_members(image, deidentifier, keep_names=options.keep_names),
        image.warnings,
        left_out,
        options.integrity == "warn" and image.is_dicom,
        image.forecast,
        image.content,
        image.suffix,
        is_direct,
        not_taken=image.not_taken,
    )


def set_content(files: Sequence[SourceFile], options: BundleOptions, *, stem: str) -> SpoolContent:
    """Given the files for a DICOM Image Set socket, return what goes out; see `dicom_set`."""
    procedure = platform_procedure() if options.deidentify else None
    image, left_out = _find_one_image(files, options, procedure, joined=False)
    _require_set(image, options.socket)
    names = [f"{stem}-{number:04}.dcm" for number in range(1, len(image.files) + 1)]
    return SpoolContent(
        _file_members(names, image, Deidentifier(procedure, options.rules) if procedure else None),
        image.warnings,
        left_out,
        options.integrity == "warn",
        content=image.content,
        is_direct=not options.deidentify and not image.is_bare,
        not_taken=image.not_taken,
    )


def file_content(file: SourceFile) -> SpoolContent:
    """Given a file for a File socket, return what goes out: the file as it is."""
    members = [Member(file.name, file, _copy_unchanged)]
    return SpoolContent(members, (), 0, lenient=False, is_direct=True)


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


def plain_suffix(file: SourceFile) -> str:
    """Return a file's suffix if it is 1 to 6 letters or digits, else ""."""
    # In an unusual file name, the part after the last dot may be a patient's name.
    suffix = suffix_of(file.name)
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,6}", suffix) else ""


# --- one image ---------------------------------------------------------------------------------


def _find_one_image(
    files: Sequence[SourceFile],
    options: BundleOptions,
    procedure: Procedure | None,
    *,
    joined: bool = True,
) -> tuple[Image, int]:
    found, left_out = images.recognise_images(
        files,
        integrity=options.integrity,
        procedure=procedure,
        joined=joined,
        only=options.rules.only,
    )
    socket = options.socket
    if not found:
        raise CannotSend(Reason("no_image", {"socket": socket, "pattern": options.pattern}))
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


def _copy_unchanged(stream: BinaryIO) -> Copy:
    return _copy_behind(b"", stream)


def _copy_with_preamble(stream: BinaryIO) -> Copy:
    return _copy_behind(missing_preamble(stream), stream)


def _copy_behind(start: bytes, stream: BinaryIO) -> Copy:
    def write(source: BinaryIO, target: BinaryIO) -> None:
        target.write(start)
        source.seek(0)
        shutil.copyfileobj(source, target, disk.BUFFER_BYTES)

    return Copy(write, len(start) + count_bytes(stream), len(start))


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

    def rewrite(stream: BinaryIO) -> Copy:
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
        names[file] = f"{folder}{number:04}{plain_suffix(file)}"
    index = slides.files_by_name(image.files)[slides.index_name(first.name)]
    if folder:
        names[index] = f"{folder}Slidedat.ini"

    def rewrite(stream: BinaryIO) -> Copy:
        old = stream.read()
        named = slides.find_named_files(old, index, slides.files_by_name(image.files))
        new = {name: names[file].rpartition("/")[2] for name, file in named.items() if file}
        return _write_bytes(slides.rename_files(old, lambda name: new.get(name, "missing")))

    return [
        Member(name, file, rewrite if file is index else _copy_unchanged)
        for file, name in names.items()
    ]


def _write_bytes(data: bytes) -> Copy:
    def write(_source: BinaryIO, target: BinaryIO) -> None:
        target.write(data)

    return Copy(write, len(data), len(data))
