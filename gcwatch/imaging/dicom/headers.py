"""Reads DICOM headers: which image a file belongs to, whether it is complete, where it lies."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from gcwatch.imaging.dicom.asked import asked_text
from gcwatch.imaging.dicom.elements import (
    DamagedDicom,
    PixelData,
    dicom_errors,
    holds_pixel_data,
    import_pydicom,
    is_empty,
    meta_value,
    parse_numbers,
    raise_if_system_error,
    raw_value,
    read_dataset,
)
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.header_facts import (
    KIND_ELEMENTS,
    MR_SOP_CLASS,
    NEVER_EMPTY,
    PATIENT_ELEMENTS,
    SHARED_ELEMENTS,
    SLIDE_SOP_CLASS,
    CommonFacts,
    Group,
    Header,
    SlicePosition,
    Vector,
)
from gcwatch.imaging.dicom.pixel_checks import Lengths, find_pixel_problem
from gcwatch.imaging.dicom.quick_dataset import QuickDataset, QuickReader
from gcwatch.imaging.dicom.stretches import Element
from gcwatch.imaging.dicom.traits import (
    TRAIT_ELEMENTS,
    find_traits,
    first_item,
    frame_groups,
    shared_items,
)

_MAGIC = b"DICM"
_PREAMBLE_BYTES = 128

_READ_ELEMENTS = (
    *SHARED_ELEMENTS,
    "SOPClassUID",
    "SOPInstanceUID",
    "StackID",
    "InstanceNumber",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "BitsStored",
    "PlanarConfiguration",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "PixelSpacing",
    "SpacingBetweenSlices",
    "PatientName",
    "FrameOfReferenceUID",
    "TemporalPositionIndex",
    "RescaleSlope",
    "RescaleIntercept",
    *PATIENT_ELEMENTS,
    *KIND_ELEMENTS,
    *TRAIT_ELEMENTS,
)


def _abridge(value: bytes) -> bytes:
    """Return a value that stands for all that are there; it can't be converted to anything."""
    return value and b"\\"


def _abridge_position(value: bytes) -> bytes:
    """Return one position for all; what is none counts as it is."""
    return b"0\\0\\0" if len(parse_numbers(value)) == 3 else value


_OWN_ELEMENTS = {
    "SOPInstanceUID": _abridge,
    "InstanceNumber": _abridge,
    "ImagePositionPatient": _abridge_position,
    "ContentTime": _abridge,
    "Exposure": _abridge,
}
"""Elements that differ from file to file, and how they are abridged in what files share."""


@functools.lru_cache(16)
def _quick_reader(asked: tuple[str, ...]) -> QuickReader:
    """Return what reads the usual elements and some more."""
    return QuickReader((*_READ_ELEMENTS, *asked), _OWN_ELEMENTS)


_PIXEL_FORMAT = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "BitsAllocated",
    "PixelRepresentation",
    "PhotometricInterpretation",
)


# --- reading -----------------------------------------------------------------------------------


def could_be_dicom(start: bytes) -> bool:
    """Given a file's first bytes (132 or more), return whether it may be DICOM.

    Without a preamble, the first element must be of group 0002 or 0008.
    """
    if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + 4] == _MAGIC:
        return True
    return len(start) >= 8 and start[:2] in {b"\x02\0", b"\x08\0"} and start[3] == 0


def read_header(stream: BinaryIO, asked: tuple[str, ...] = ()) -> Header | None:
    """Given a file open at its start, return its header, or None if it is no DICOM.

    With it come the values of the elements that are *asked* for by their keywords.
    """
    start = b""
    try:
        if header := _read_quickly(stream, asked):
            return header
        stream.seek(0)
        start = stream.read(_PREAMBLE_BYTES + 4)
        return _read_by_pydicom(stream, asked) if could_be_dicom(start) else None
    except DamagedDicom as damage:
        return Header(None, str(damage))
    except dicom_errors(OSError) as error:
        raise_if_system_error(error)
        return Header(None, "unreadable header") if start[_PREAMBLE_BYTES:] == _MAGIC else None


def _read_quickly(stream: BinaryIO, asked: tuple[str, ...]) -> Header | None:
    """Return the header of a file without oddities; None if pydicom has to read it."""
    try:
        quick = _quick_reader(asked).read(stream)
        common = _quick_common(quick.common, quick.syntax)
        own = QuickDataset(quick.own, quick.syntax)
        return _with_asked(_header_of(stream, own, common, quick.pixels), asked, own, common)
    except dicom_errors(UnusualHeader):
        return None


def _read_by_pydicom(stream: BinaryIO, asked: tuple[str, ...]) -> Header | None:
    stream.seek(0)
    dataset = read_dataset(stream, (*_READ_ELEMENTS, *asked))
    if not isinstance(dataset.file_meta.get("TransferSyntaxUID") or "", str):
        raise DamagedDicom("its transfer syntax is no UID")
    common = _Common(dataset, _common_header(stream, dataset), {})
    return _with_asked(_header_of(stream, dataset, common), asked, dataset, common)


@dataclass(frozen=True, slots=True)
class _Common:
    """What most files of one series have in common.

    Their elements, the header that these give, and the lengths of pixel data by its tag.
    """

    dataset: Any
    header: Header | None
    lengths: Lengths


@functools.lru_cache(64)
def _quick_common(elements: tuple[Element, ...], syntax: bytes) -> _Common:
    """Return it for elements that were read without pydicom; computed once for a series."""
    dataset = QuickDataset(elements, syntax)
    if "SOPClassUID" not in dataset:
        raise UnusualHeader
    return _Common(dataset, _common_header(None, dataset), {})


def _common_header(stream: BinaryIO | None, dataset: Any) -> Header | None:
    """Given a dataset, and the stream behind what was read, return what its files have in common.

    Without a stream, pixels surely follow.
    """
    sop_class = str(dataset.get("SOPClassUID", "")) or meta_value(
        dataset, "MediaStorageSOPClassUID"
    )
    if not sop_class:
        return None if dataset.preamble is None else Header(None, "no SOPClassUID")
    if not _is_image(stream, dataset, sop_class):
        return Header(None)
    common = _read_common_facts(dataset)  # before a value is converted: raw ones are compared
    return Header(
        _read_group(dataset),
        stacked=dataset.get("StackID") is not None,
        shared=_raw_values(dataset, SHARED_ELEMENTS),
        common=common,
        frames=int(dataset.get("NumberOfFrames") or 1),
        time=raw_value(dataset, "TemporalPositionIndex"),
        is_localizer=b"LOCALIZER" in raw_value(dataset, "ImageType"),
        frame_positions=_frame_positions(dataset),
        is_label=sop_class == SLIDE_SOP_CLASS and _is_label(dataset),
    )


def _header_of(
    stream: BinaryIO, own: Any, common: _Common, pixels: PixelData | None = None
) -> Header | None:
    """Given a file's own elements, and the stream at its pixels, return its header."""
    told = common.header
    if told is None or told.group is None:
        return told
    return Header(
        told.group,
        find_pixel_problem(stream, common.dataset, common.lengths, pixels),
        told.stacked,
        _required_text(own, "SOPInstanceUID"),
        _instance_number(own),
        _slice_position(own, common.dataset),
        told.shared,
        told.common,
        told.frames,
        told.time,
        told.is_localizer,
        told.frame_positions,
        is_label=told.is_label,
    )


def _with_asked(
    header: Header | None, asked: tuple[str, ...], own: Any, common: _Common
) -> Header | None:
    """Return a header with the values of the elements that were asked for."""
    if header is None or header.group is None or not asked:
        return header
    places = (own if keyword in _OWN_ELEMENTS else common.dataset for keyword in asked)
    return replace(header, asked=_shared_values(*map(asked_text, places, asked)))


def _is_label(dataset: Any) -> bool:
    kind = raw_value(dataset, "ImageType").upper()
    return b"LABEL" in kind or b"OVERVIEW" in kind


def _read_common_facts(dataset: Any) -> CommonFacts:
    return _shared_facts(
        _raw_values(dataset, ("PatientID", "PatientName")),
        _raw_values(dataset, PATIENT_ELEMENTS),
        _picture_kind(dataset),
        *_raw_values(dataset, ("FrameOfReferenceUID",)),
        _read_pixel_format(dataset),
        _pixel_spacing(dataset),
        _raw_values(dataset, ("RescaleSlope", "RescaleIntercept")),
        *_raw_values(dataset, ("SpacingBetweenSlices",)),
        find_traits(dataset),
        tuple(keyword for keyword in NEVER_EMPTY if is_empty(dataset, keyword)),
    )


def _picture_kind(dataset: Any) -> tuple[bytes, ...]:
    if str(dataset.get("SOPClassUID", "")) != MR_SOP_CLASS:
        return ()
    names = raw_value(dataset, "ImageType").split(b"\\")
    return *_raw_values(dataset, KIND_ELEMENTS), names[2].strip() if len(names) > 2 else b""


def _read_pixel_format(dataset: Any) -> tuple[bytes, ...]:
    """Return the raw values of `_PIXEL_FORMAT`, little-endian."""
    *numbers, colors = (raw_value(dataset, keyword) for keyword in _PIXEL_FORMAT)
    is_little = dataset.original_encoding[1]
    return *(raw if is_little else raw[::-1] for raw in numbers), colors.rstrip(b" ")


def _is_image(stream: BinaryIO | None, dataset: Any, sop_class: str) -> bool:
    """Whether a file's SOP class is of images; reports, spectra, plans and raw data are none."""
    import_pydicom()
    from pydicom.uid import UID  # noqa: PLC0415 - as in read_dataset

    known = UID(sop_class).name
    if "Image Storage" in known:
        return True
    if "Rows" not in dataset or "Spectroscopy" in known:
        return False
    # Vendors have classes of their own, of images and of others that have Rows without pixels.
    return known != sop_class or stream is None or holds_pixel_data(stream, dataset)


def _read_group(dataset: Any) -> Group:
    stack = dataset.get("StackID")
    return _shared_group(
        _required_text(dataset, "StudyInstanceUID"),
        _required_text(dataset, "SeriesInstanceUID" if stack is None else "StackID"),
        _required_text(dataset, "SOPClassUID"),
    )


_shared_facts = functools.lru_cache(256)(CommonFacts)
_shared_group = functools.lru_cache(256)(Group)
_shared_values = functools.lru_cache(256)(lambda *values: values)
"""Make groups, facts and values; equal ones are one object, which saves memory with many files."""


def _required_text(dataset: Any, keyword: str) -> str:
    value = dataset.get(keyword)
    if not value:
        raise DamagedDicom(f"no {keyword}")
    if not isinstance(value, str):
        raise DamagedDicom(f"{keyword} is not one text")
    return value


def _instance_number(dataset: Any) -> int | None:
    number = dataset.get("InstanceNumber")
    return None if number is None else int(number)


def _raw_values(dataset: Any, keywords: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(raw_value(dataset, keyword).strip(b" \0") for keyword in keywords)


def _slice_position(place: Any, directions: Any) -> SlicePosition | None:
    """Given the datasets that hold position and orientation, return where the picture lies."""
    position = parse_numbers(raw_value(place, "ImagePositionPatient"))
    orientation = _parse_directions(raw_value(directions, "ImageOrientationPatient"))
    if len(position) != 3 or orientation is None:
        return None
    return SlicePosition(_as_vector(position), *orientation)


@functools.lru_cache(256)
def _parse_directions(raw: bytes) -> tuple[Vector, Vector] | None:
    """Given a raw ImageOrientationPatient, return the directions of rows and columns."""
    numbers = parse_numbers(raw)
    return (_as_vector(numbers[:3]), _as_vector(numbers[3:])) if len(numbers) == 6 else None


def _frame_positions(dataset: Any) -> tuple[SlicePosition | None, ...]:
    """Return where the frames of an enhanced file lie; () if it does not say so."""
    positions = tuple(_frame_position(dataset, frame) for frame in frame_groups(dataset))
    return positions if any(positions) else ()


def _frame_position(dataset: Any, frame: Any) -> SlicePosition | None:
    place = first_item(frame, "PlanePositionSequence")
    directions = first_item(frame, "PlaneOrientationSequence")
    if directions is None:
        directions = next(shared_items(dataset, "PlaneOrientationSequence"), None)
    return None if place is None or directions is None else _slice_position(place, directions)


def _pixel_spacing(dataset: Any) -> bytes:
    """Return the raw spacing; that of an enhanced file stands among what its frames share."""
    measures = next(shared_items(dataset, "PixelMeasuresSequence"), dataset)
    return raw_value(measures, "PixelSpacing").strip(b" \0")


def _as_vector(numbers: list[float]) -> Vector:
    x, y, z = numbers
    return x, y, z
