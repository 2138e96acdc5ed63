"""Reads MetaImage headers and checks a header together with its data file."""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.checks import voxel_sizes
from gcwatch.imaging.checks.text_header import (
    MAX_LINE_BYTES,
    MAX_LINES,
    META_VOXEL_BYTES,
    read_meta_header,
)
from gcwatch.imaging.forecast import forecast_meta_image
from gcwatch.imaging.formats import Image, damage_reason

_NO_DATA_FILE = f"no ElementDataFile in {MAX_LINES} lines of at most {MAX_LINE_BYTES} bytes"


def meta_fields(header: bytes) -> dict[str, str]:
    """Given a MetaImage header, return its fields by name."""
    lines = (line.partition(b"=") for line in header.splitlines())
    return {os.fsdecode(key).strip(): os.fsdecode(value).strip() for key, _, value in lines}


def complete_meta_image(image: Image, others: Mapping[str, SourceFile]) -> Image:
    """Given a MetaImage of one header file, return it with its data file and with what is wrong.

    Its suffix becomes `.mha` if header and voxels are one file, else `.mhd`.
    `others` are files by name. Raise SourceChanged if a file changed since it was listed.
    """
    [file] = image.files
    with open_unchanged(file) as stream:
        header = read_meta_header(stream)
    fields = meta_fields(header)
    data = fields.get("ElementDataFile", "")
    if not data:
        raise CannotSend(damage_reason(file, _NO_DATA_FILE))
    if not _is_utf8(header):
        raise CannotSend(damage_reason(file, "its header is not UTF-8 text"))
    if data == "LOCAL":
        problems = _meta_size_problems(file, fields, len(header))
        return replace(
            image, suffix=".mha", warnings=problems, forecast=forecast_meta_image(fields)
        )
    companion = others.get(os.path.normpath(PurePosixPath(file.name).parent / data))
    if companion is None:
        names = {"file": f"{file.name} (data in {data})"}
        raise CannotSend(Reason("damaged_image", {"problem": "its data file is missing"}, names))
    if companion.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": companion.name}))
    problems = _meta_size_problems(companion, fields)
    return replace(
        image,
        suffix=".mhd",
        files=(file, companion),
        warnings=problems,
        forecast=forecast_meta_image(fields),
    )


def _is_utf8(header: bytes) -> bool:
    """Whether the platform can read the header: it takes no other encoding (panimg 0.18.2)."""
    try:
        header.decode()
    except UnicodeDecodeError:
        return False
    return True


def _meta_size_problems(
    file: SourceFile, fields: Mapping[str, str], begin: int = 0
) -> tuple[Reason, ...]:
    """Return a problem if the voxels, from `begin` on, are fewer than the header says."""
    numbers = [*fields.get("DimSize", "").split(), fields.get("ElementNumberOfChannels", "1")]
    voxel = META_VOXEL_BYTES.get(fields.get("ElementType", ""))
    if voxel is None or not all(number.isdigit() for number in numbers):
        return ()
    expected = voxel * math.prod(map(int, numbers))
    skipped = fields.get("HeaderSize", "0")
    begin += int(skipped) if skipped.isdecimal() else 0
    if fields.get("BinaryData", "True")[:1].lower() not in {"t", "1"}:
        with open_unchanged(file) as stream:
            stream.seek(begin)
            problem = voxel_sizes.find_text_damage(stream, voxel, expected)
    elif fields.get("CompressedData", "False")[:1].lower() in {"t", "1"}:
        problem = _meta_compressed_damage(file, fields, begin, expected)
    else:
        problem = voxel_sizes.compare_sizes(file.size - begin, expected)
    return (damage_reason(file, problem),) if problem else ()


def _meta_compressed_damage(
    file: SourceFile, fields: Mapping[str, str], begin: int, expected: int
) -> str:
    told, held = fields.get("CompressedDataSize", ""), file.size - begin
    if not told.isdecimal() and begin:
        return "its header has no CompressedDataSize"
    size = int(told) if told.isdecimal() else held
    if size > held:
        return f"the file holds {held} of {size} bytes of compressed data"
    with open_unchanged(file) as stream:
        stream.seek(begin)
        # The platform reads the first gzip member only (panimg 0.18.2).
        return voxel_sizes.find_compressed_damage(stream, size, expected, one_member=True)
