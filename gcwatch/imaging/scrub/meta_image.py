"""MetaImage: of the header only fields of the geometry go out, with numbers or known words."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from gcwatch.imaging.checks.streams import count_bytes
from gcwatch.imaging.checks.text_header import META_VOXEL_BYTES, read_meta_header
from gcwatch.imaging.codestreams.errors import CantScrub
from gcwatch.imaging.scrub.fields import IMAGE_FACTS, NUMBERS
from gcwatch.imaging.scrub.streaming import (
    Write,
    copy_exactly,
    copy_numbers,
    find_zlib_end,
    seek_within,
)

_YES_NO = re.compile(r"(?i:true|false|t|f|1|0)")

_FIELDS: Mapping[str, re.Pattern[str]] = {
    "ObjectType": re.compile("Image"),
    "ObjectSubType": re.compile("Image"),
    "ElementType": re.compile("MET_[A-Z_]+"),
    "AnatomicalOrientation": re.compile(r"[RLAPSI?]{1,4}"),
    **dict.fromkeys(("BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB"), _YES_NO),
    "CompressedData": _YES_NO,
    **dict.fromkeys(("NDims", "DimSize", "ElementSpacing", "ElementSize"), NUMBERS),
    **dict.fromkeys(("TransformMatrix", "Rotation", "Orientation"), NUMBERS),
    **dict.fromkeys(("Offset", "Position", "Origin", "CenterOfRotation"), NUMBERS),
    **dict.fromkeys(("ElementNumberOfChannels", "ElementMin", "ElementMax"), NUMBERS),
    "ElementToIntensityFunctionSlope": NUMBERS,
    "ElementToIntensityFunctionOffset": NUMBERS,
    **IMAGE_FACTS,
}
"""Fields that are kept, and how their values must look."""


@dataclass(frozen=True)
class MetaImage:
    """A MetaImage: its new header, and the bytes of its voxels in their file."""

    header: bytes
    begin: int
    count: int
    is_text: bool

    def copy_voxels(self, stream: BinaryIO, target: BinaryIO) -> None:
        """Given the stream of the file that holds the voxels, copy them."""
        seek_within(stream, self.begin)
        if self.is_text:
            copy_numbers(stream, target)
        else:
            copy_exactly(stream, target, self.count)


def scrub_meta_image(stream: BinaryIO) -> Write:
    """Given a MetaImage with its voxels in the same file, return what writes its clean copy."""
    image = read_clean(stream, stream, "LOCAL")

    def write(target: BinaryIO) -> None:
        target.write(image.header)
        image.copy_voxels(stream, target)

    return write


def read_clean(stream: BinaryIO, data: BinaryIO, data_name: str) -> MetaImage:
    """Given a header, the file with its voxels and that file's new name, return what goes out."""
    stream.seek(0)
    old = read_meta_header(stream)
    try:
        text = old.decode()
    except UnicodeDecodeError:
        raise CantScrub("its header is not UTF-8 text") from None
    lines = [line.partition("=") for line in text.splitlines()]
    told = {key.strip(): value.strip() for key, _, value in lines}
    begin = len(old) if data_name == "LOCAL" else 0
    begin, count = _find_voxels(told, data, begin, is_local=data_name == "LOCAL")
    kept = [(key.strip(), value.strip()) for key, _, value in lines]
    new = [f"{key} = {value}" for key, value in kept if _is_kept(key, value)]
    if _is_yes(told.get("CompressedData", "")):
        new.append(f"CompressedDataSize = {count}")
    new.append(f"ElementDataFile = {data_name}\n")
    is_text = not _is_yes(told.get("BinaryData", "True"))
    return MetaImage("\n".join(new).encode(), begin, count, is_text)


def _is_kept(key: str, value: str) -> bool:
    rule = _FIELDS.get(key)
    if rule is None:
        return False
    if not rule.fullmatch(value) and key not in IMAGE_FACTS:
        raise CantScrub(f"the value of its field {key} is unusual")
    return rule.fullmatch(value) is not None


def _is_yes(value: str) -> bool:
    return value[:1].lower() in {"t", "1"}


def _find_voxels(
    told: Mapping[str, str], data: BinaryIO, begin: int, *, is_local: bool
) -> tuple[int, int]:
    """Return where the voxels begin, and how many bytes they have."""
    expected = _count_voxel_bytes(told)
    size, skipped = count_bytes(data), told.get("HeaderSize", "0")
    if _is_yes(told.get("CompressedData", "")):
        if skipped != "0":
            raise CantScrub("its compressed voxels are behind a header of their own")
        size_told = told.get("CompressedDataSize", "")
        held = int(size_told) if size_told.isdecimal() else size - begin
        seek_within(data, begin)
        return begin, find_zlib_end(data, held, expected)
    if skipped == "-1":
        return size - expected, expected
    if not skipped.isdecimal() or (is_local and int(skipped)):
        raise CantScrub("its field HeaderSize is unusual")
    return begin + int(skipped), expected


def _count_voxel_bytes(told: Mapping[str, str]) -> int:
    numbers = [*told.get("DimSize", "").split(), told.get("ElementNumberOfChannels", "1")]
    voxel = META_VOXEL_BYTES.get(told.get("ElementType", "").removesuffix("_ARRAY"))
    if voxel is None or not all(map(str.isdecimal, numbers)):
        raise CantScrub("its header does not tell how many bytes its voxels have")
    return voxel * math.prod(map(int, numbers))
