"""What DICOM files hold: elements with their nesting, the preamble, pixels and what is beside."""

from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, Final

from gcwatch.core.rules.region import Region
from gcwatch.core.text import count_noun, printable_name
from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.dicom.elements import (
    DamagedDicom,
    PixelData,
    dicom_errors,
    find_pixel_data,
    read_dataset,
)
from gcwatch.imaging.inventory.parts import NEW_UID, Change, Part, compare_parts, rest_part
from gcwatch.imaging.inventory.pixels import compare_fragments, compare_rows

_LENGTH_OF_META: Final = 0x00020000
_LONGEST_TEXT = 120


def compare_dicom(old: BinaryIO, new: BinaryIO, blank: Sequence[Region] = ()) -> list[Change]:
    """Given an original and what goes out of it, return what happened to its parts.

    `blank` are the regions of its pixels that should be black.
    """
    before, after = read_dataset(old), read_dataset(new)
    pixels = [_find_pixels(old, before), _find_pixels(new, after)]
    found = compare_parts(_parts(old, before, pixels[0]), _parts(new, after, pixels[1]))
    if pixels[0] and pixels[1]:
        found += _compare_pixels((old, pixels[0]), (new, pixels[1]), after, blank)
    return found


def _find_pixels(stream: BinaryIO, dataset: Any) -> PixelData | None:
    try:
        return find_pixel_data(stream, dataset.original_encoding)
    except DamagedDicom:
        return None


def _parts(stream: BinaryIO, dataset: Any, pixels: PixelData | None) -> Iterator[Part]:
    if dataset.preamble and dataset.preamble.strip(b"\0"):
        yield Part("preamble", dataset.preamble, "128 bytes")
    yield from _elements(dataset.file_meta, "")
    yield from _elements(dataset, "")
    if pixels:
        yield from rest_part("bytes behind the pixels", count_bytes(stream) - pixels.end)


def _elements(dataset: Any, above: str) -> Iterator[Part]:
    for tag in sorted(dataset.keys()):
        if tag == _LENGTH_OF_META:
            continue
        place = above + _name(tag)
        raw = dataset.get_item(tag)
        content = raw.value if isinstance(raw.value, bytes) else None
        try:
            element = dataset[tag]
            vr, text = str(element.VR), _text(element)
        except dicom_errors(OSError):
            yield Part(place, content or b"", "a value that can't be read")
            continue
        if vr == "SQ":
            items = element.value or ()
            yield Part(place, b"items", count_noun(len(items), "item"), "a sequence")
            for item in items:
                yield from _elements(item, f"{place} > ")
            continue
        content = content if content is not None else text.encode("utf-8", "replace")
        is_uid = vr == "UI" and bool(text)
        yield Part(place, content.rstrip(b" \0"), _short(text), NEW_UID if is_uid else "")


def _name(tag: Any) -> str:
    from pydicom.datadict import keyword_for_tag  # noqa: PLC0415 - as in read_dataset

    number = f"({tag.group:04X},{tag.element:04X})"
    if tag.is_private:
        return f"private {number}"
    return f"{keyword_for_tag(tag) or 'unknown'} {number}"


def _text(element: Any) -> str:
    if isinstance(element.value, bytes):
        return count_noun(len(element.value), "byte")
    values = [element.value] if element.VM < 2 else element.value
    return "\\".join("" if each is None else str(each) for each in values)


def _short(text: str) -> str:
    shown = printable_name(text)
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]}…"


def _compare_pixels(
    old: tuple[BinaryIO, PixelData],
    new: tuple[BinaryIO, PixelData],
    dataset: Any,
    blank: Sequence[Region],
) -> list[Change]:
    place = _name_of_pixels(new[1])
    if new[1].encapsulated:
        return compare_fragments(place, old, new)
    lengths = [pixels.end - pixels.start for _, pixels in (old, new)]
    padded = lengths[1] - lengths[0] in {0, 1}
    changes = compare_rows(place, old, new, _rows_of(dataset, new[1]), blank)
    if not padded:
        beyond = abs(lengths[0] - lengths[1])
        action = "removed" if lengths[0] > lengths[1] else "added"
        told = count_noun(beyond, "byte")
        changes.append(Change("bytes behind the last pixel", action, value=told))  # type: ignore[arg-type]
    return changes


def _rows_of(dataset: Any, pixels: PixelData) -> tuple[int, int, int]:
    """Return columns and rows of a picture, and the bytes of a pixel in a row."""
    columns, rows = int(dataset.get("Columns") or 0), int(dataset.get("Rows") or 0)
    bits = {(0x7FE0, 0x0008): 32, (0x7FE0, 0x0009): 64}.get(
        pixels.tag, int(dataset.get("BitsAllocated") or 0)
    )
    is_planar = int(dataset.get("PlanarConfiguration") or 0) == 1
    samples = 1 if is_planar else int(dataset.get("SamplesPerPixel") or 1)
    return columns, rows, samples * bits // 8


def _name_of_pixels(pixels: PixelData) -> str:
    from pydicom.tag import Tag  # noqa: PLC0415 - as in read_dataset

    return _name(Tag(pixels.tag))
