"""Finds the images that a folder's files make up, as the platform's importer would."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import BinaryIO

from gcwatch.core.errors import CannotSend
from gcwatch.core.forecast import UNKNOWN, ImageForecast
from gcwatch.core.reasons import Reason
from gcwatch.core.rules.series_rules import ALL_SERIES, SeriesRules
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging import slides
from gcwatch.imaging.checks import picture_sizes, signatures, voxel_sizes
from gcwatch.imaging.checks.importable_pictures import (
    find_unreadable_jpeg,
    find_unreadable_png,
    find_unreadable_tiff,
)
from gcwatch.imaging.checks.importable_volumes import (
    find_unreadable_meta_image,
    find_unreadable_nifti,
    find_unreadable_nrrd,
)
from gcwatch.imaging.checks.nifti_numbers import find_other_values
from gcwatch.imaging.checks.text_header import read_nrrd_header
from gcwatch.imaging.dicom import (
    consistency,
    header_facts,
    series_forecast,
    slice_geometry,
)
from gcwatch.imaging.dicom.procedure import Procedure, is_removed
from gcwatch.imaging.dicom.reference_header import find_unreadable_element
from gcwatch.imaging.forecast import forecast_file
from gcwatch.imaging.formats import SUFFIXES, Image, Integrity, Kind, damage_reason
from gcwatch.imaging.meta_image import complete_meta_image
from gcwatch.imaging.sorting import (
    SortedFiles,
    leave_other_series,
    not_taken_reason,
    read_content,
    set_aside_cut_slices,
    sort_file,
)
from gcwatch.imaging.unreadable import Unreadable

_SENT_WITH_WARNINGS: Collection[Kind] = ("DICOM series", "DICOM slide", "slide")
"""Kinds of several files, which may be sent although some are missing or damaged."""

_ALWAYS_WITH_WARNINGS = frozenset({"values_differ"})
"""Codes of which a whole file of any kind may be sent, too."""

_STRUCTURES: Mapping[Kind, signatures.Format] = {
    "TIFF": signatures.TIFF,
    "PNG": signatures.PNG,
    "JPEG": signatures.JPEG,
}
"""Formats whose own structure tells whether the end of the file is missing."""

_PIXELS: Mapping[Kind, Callable[[BinaryIO], str]] = {
    "TIFF": picture_sizes.find_tiff_damage,
    "PNG": picture_sizes.find_png_damage,
}
"""Formats whose pixels can be counted."""

_UNREADABLE: Mapping[Kind, Callable[[BinaryIO], Unreadable | None]] = {
    "NIfTI": find_unreadable_nifti,
    "MetaImage": find_unreadable_meta_image,
    "NRRD": find_unreadable_nrrd,
    "PNG": find_unreadable_png,
    "JPEG": find_unreadable_jpeg,
    "TIFF": find_unreadable_tiff,
}
"""Formats of which the importer can't read every file."""

_FORETOLD: Collection[Kind] = ("NIfTI", "NRRD", *_STRUCTURES)
"""Kinds of one file whose image is foretold here; `meta_image` foretells its own."""

_TIFF_SLIDES = frozenset({".svs", ".scn", ".bif"})
"""Slides whose structure is TIFF's; that of .ndpi is not, above 4 GiB."""

_DATA_ELSEWHERE = re.compile(rb"(?im)^[ \t]*data\s?file:")
"""The field of an NRRD header that names other files; the platform reads no such NRRD."""

_SLIDE_INDEX_BYTES = 16 * 1024 * 1024
"""Bytes of a slide's index that are read at most."""


def recognise_images(
    files: Iterable[SourceFile],
    *,
    integrity: Integrity = "refuse",
    procedure: Procedure | None = None,
    joined: bool = True,
    only: SeriesRules = ALL_SERIES,
) -> tuple[tuple[Image, ...], int]:
    """Given files, return the images that they make up, and how many files belong to none.

    Formats are recognised by content (`content`). Files that belong to no image (reports,
    DICOMDIRs, text) may contain a patient's name and must not be sent. The same holds for
    archives: the platform would unpack them, but nobody checked them. If there is no image, but
    one of another format, its reason is raised (`packed_images`, `unreadable_format`,
    `no_pixels`). Beside a DICOMDIR, PNG and JPEG belong to a viewer, not to the patient.

    Series that do not fit `only` are left out, and the images' `not_taken` names them. If nothing
    is left, raise CannotSend (`no_series_fits`).

    Files may be unreadable, cut off, empty, duplicate or missing. The importer then makes a wrong
    or incomplete image without an error (platform 13.9). With `integrity` "refuse", raise
    CannotSend for the first such problem if the files are one image (`damaged_image`,
    `empty_file`, `slice_twice`, `slices_missing`, `slices_overlap`, `slices_uneven`,
    `slices_unplaced`, `slices_disordered`). With "warn", the problems are the image's warnings,
    and its files are those that the platform should get: a DICOM image includes its unreadable
    files. Empty files are never included; they count as belonging to no image. A single file that
    holds less than its header says is refused in any case.

    The importer joins the files of a DICOM series into one image, so these must agree
    (`dicom.consistency`); what it gets lacks what `procedure` removes. `joined` is False for
    a DICOM Image Set, whose files stay apart. A problem of `dicom.consistency.NEVER_SENT` raises
    CannotSend also with "warn".

    Also raise CannotSend for such a problem if there is no image at all, and for an image that
    the platform can't read (`detached_header`). Raise SourceChanged if a file changed since it
    was listed.
    """
    heap = SortedFiles()
    for file in files:
        sort_file(file, heap, partial(read_content, asked=only.keywords))
    set_aside_cut_slices(heap)
    leave_other_series(heap, only)
    _leave_pictures_of_medium(heap)
    others, companions = _other_images(heap)
    groups, labels = _without_labels(heap.series.values(), procedure)
    series = [_series_image(group, procedure=procedure, joined=joined) for group in groups]
    images = (*series, *others)
    if heap.problems and (integrity == "refuse" or not images):
        raise CannotSend(heap.problems[0])
    if heap.not_taken and not images:
        raise CannotSend(not_taken_reason(heap.not_taken, "no_series_fits"))
    not_taken = (not_taken_reason(heap.not_taken),) if heap.not_taken else ()
    images = tuple(replace(image, not_taken=not_taken) for image in images)
    if heap.foreign and not images:
        raise CannotSend(_foreign_reason(heap))
    if len(images) == 1:
        _raise_first(images[0], integrity)
    left = [file for file in (*heap.rest, *heap.empty, *labels) if file not in companions]
    if len(images) == 1 and images[0].is_dicom:
        return (_add_findings(images[0], heap.broken, heap.problems),), len(left)
    return tuple(_add_findings(image, (), heap.problems) for image in images), len(left) + len(
        heap.broken
    )


_FOREIGN_ORDER = ("packed_images", "unreadable_format", "no_pixels")
"""Which format is told if a folder holds several and no image."""


def _foreign_reason(heap: SortedFiles) -> Reason:
    file, foreign = min(heap.foreign, key=lambda each: _FOREIGN_ORDER.index(each[1].code))
    facts = {"what": foreign.what} | ({"wanted": foreign.wanted} if foreign.wanted else {})
    return Reason(foreign.code, facts, {"file": file.name})


def _leave_pictures_of_medium(heap: SortedFiles) -> None:
    """A CD's viewer has pictures of its own; the images of the patient are DICOM (PS3.10)."""
    if heap.is_medium and heap.series:
        pictures = [each for each in heap.others if SUFFIXES[each[0]] in {"PNG", "JPEG"}]
        heap.others = [each for each in heap.others if each not in pictures]
        heap.rest.extend(file for _, file, _ in pictures)


def _raise_first(image: Image, integrity: Integrity) -> None:
    """Raise CannotSend for what is never sent, or with "refuse" for any warning."""
    of_files = image.kind in _SENT_WITH_WARNINGS
    never = [
        reason
        for reason in image.warnings
        if reason.code in consistency.NEVER_SENT
        or not (of_files or reason.code in _ALWAYS_WITH_WARNINGS)
    ]
    if refused := never or (image.warnings if integrity == "refuse" else ()):
        raise CannotSend(refused[0])


def _add_findings(image: Image, files: Sequence[SourceFile], problems: Sequence[Reason]) -> Image:
    return replace(image, files=(*image.files, *files), warnings=(*image.warnings, *problems))


# --- DICOM -------------------------------------------------------------------------------------


def _without_labels(
    series: Iterable[Sequence[slice_geometry.Slice]], procedure: Procedure | None
) -> tuple[list[Sequence[slice_geometry.Slice]], list[SourceFile]]:
    """Return each series without pictures of a slide's label, and the files of these pictures.

    Without de-identification the labels stay.
    """
    if procedure is None:
        return list(series), []
    groups = [[each for each in members if not each[0].is_label] for members in series]
    labels = [file for members in series for header, file in members if header.is_label]
    return [group for group in groups if group], labels


def _series_image(
    members: Sequence[slice_geometry.Slice], *, procedure: Procedure | None, joined: bool
) -> Image:
    group = members[0][0].group
    kind: Kind = (
        "DICOM slide"
        if group and group.sop_class == header_facts.SLIDE_SOP_CLASS
        else "DICOM series"
    )
    found = slice_geometry.find_irregularities(members)
    if joined:
        found += consistency.find_inconsistencies(members, procedure)
        found += slice_geometry.find_distortions(members)
        if procedure is None:  # else nothing is sent as it is
            found += _unreadable_reference(members)
    return Image(
        kind,
        ".dcm",
        tuple(file for _, file in members),
        tuple(found),
        _mixed_elements([header for header, _ in members]),
        _forecast_series(members, procedure) if joined else UNKNOWN,
        _instances_digest([header for header, _ in members]),
        any("bare" in header.common.traits for header, _ in members),
    )


def _unreadable_reference(members: Sequence[slice_geometry.Slice]) -> Iterator[Reason]:
    """Yield a reason if the importer can't read the file from which it takes the header."""
    _, file = min(members, key=lambda member: member[0].number or 0)
    with open_unchanged(file) as stream:
        element = find_unreadable_element(stream)
    if element:
        facts = {"what": f"DICOM in which {element} is damaged", "wanted": "DICOM without it"}
        yield Reason("unreadable_format", facts, {"file": file.name})


def _forecast_series(
    members: Sequence[slice_geometry.Slice], procedure: Procedure | None
) -> ImageForecast:
    group = members[0][0].group
    assert group is not None, "files without a group are in no series"
    sop_class = group.sop_class
    return series_forecast.forecast_series(
        members,
        lambda keyword: procedure is not None and is_removed(procedure, sop_class, keyword),
    )


def _instances_digest(found: Sequence[header_facts.Header]) -> str:
    instances = sorted(header.instance for header in found)
    return hashlib.sha256("\0".join(instances).encode()).hexdigest()


def _mixed_elements(found: Sequence[header_facts.Header]) -> tuple[str, ...]:
    values = zip(*(header.shared for header in found), strict=True)
    return tuple(
        keyword
        for keyword, differing in zip(header_facts.SHARED_ELEMENTS, values, strict=True)
        if len(set(differing)) > 1
    )


# --- the others --------------------------------------------------------------------------------


def _other_images(heap: SortedFiles) -> tuple[list[Image], set[SourceFile]]:
    """Given sorted files, return the images other than DICOM, and the data files they use."""
    # A data file may begin like an image of its own.
    candidates = (*heap.rest, *heap.empty, *(file for _, file, _ in heap.others))
    by_name = {file.name: file for file in candidates}
    of_slides = slides.files_by_name(candidates)
    images: list[Image] = []
    for suffix, file, problems in heap.others:
        image = Image(SUFFIXES[suffix], suffix, (file,), problems)
        if problems:
            pass
        elif suffix in {".mha", ".mhd"}:
            image = complete_meta_image(image, by_name)
        elif suffix in {".mrxs", ".vms", ".vmu"}:
            image = _complete_slide(image, of_slides)
        elif suffix in {".nrrd", ".nhdr"}:
            _require_attached(file)
        images.append(image)
    companions = {file for image in images for file in image.files[1:]}
    images = [image for image in images if image.files[0] not in companions]
    return [image if image.warnings else _check_content(image) for image in images], companions


def _check_content(image: Image) -> Image:
    """Add what the platform makes of it, and a warning if its file is shorter than it says."""
    file = image.files[0]
    with open_unchanged(file) as stream:
        if image.kind == "NIfTI":
            problem = voxel_sizes.find_nifti_damage(stream, file.size)
        elif image.kind == "NRRD":
            problem = voxel_sizes.find_nrrd_damage(stream, file.size)
        elif image.kind in _STRUCTURES:
            problem = _STRUCTURES[image.kind].damage(stream)
            if not problem and image.kind in _PIXELS:
                problem = _PIXELS[image.kind](stream)
        elif image.suffix in _TIFF_SLIDES:
            problem = signatures.TIFF.damage(stream)
        else:
            problem = ""
        stream.seek(0)
        if not problem and (unreadable := _find_unreadable(image.kind, stream)):
            reason = Reason("unreadable_format", unreadable._asdict(), {"file": file.name})
            return replace(image, warnings=(reason,))
        if image.kind not in _FORETOLD:
            return replace(image, warnings=(damage_reason(file, problem),)) if problem else image
        stream.seek(0)
        image = replace(image, forecast=forecast_file(image.kind, stream))
        stream.seek(0)
        if not problem and image.kind == "NIfTI" and (changed := find_other_values(stream)):
            return replace(image, warnings=(Reason("values_differ", {"problem": changed}),))
    return replace(image, warnings=(damage_reason(file, problem),)) if problem else image


def _find_unreadable(kind: Kind, stream: BinaryIO) -> Unreadable | None:
    rule = _UNREADABLE.get(kind)
    return rule(stream) if rule else None


def _require_attached(file: SourceFile) -> None:
    with open_unchanged(file) as stream:
        header = read_nrrd_header(stream)
    if _DATA_ELSEWHERE.search(header):
        raise CannotSend(Reason("detached_header", names={"file": file.name}))


def _complete_slide(image: Image, others: Mapping[str, SourceFile]) -> Image:
    [file] = image.files
    index = others.get(slides.index_name(file.name))
    if index is None:
        raise CannotSend(damage_reason(file, "its folder with Slidedat.ini is missing"))
    with open_unchanged(index) as stream:
        named = slides.find_named_files(stream.read(_SLIDE_INDEX_BYTES), index, others)
    data = [other for other in named.values() if other]
    if not data:
        raise CannotSend(damage_reason(file, "its data files are missing"))
    lost = len(named) - sum(other.size > 0 for other in data)
    problems = (damage_reason(file, f"{lost} of its {len(named)} data files are missing"),)
    files = tuple(dict.fromkeys((file, index, *data)))
    return replace(image, files=files, warnings=problems if lost else ())
