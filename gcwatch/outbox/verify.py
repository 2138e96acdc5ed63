"""Checks by a fetched file's own structure whether it is complete."""

import math
import os
from collections.abc import Mapping
from typing import Final

from gcwatch.core.errors import TryAgain
from gcwatch.core.reasons import Reason
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.checks import signatures
from gcwatch.imaging.checks.json_syntax import is_json
from gcwatch.imaging.checks.text_header import META_VOXEL_BYTES, read_meta_header
from gcwatch.imaging.meta_image import meta_fields

_FORMATS: Final[Mapping[str, signatures.Format]] = {
    ".biom": signatures.HDF5,
    ".gz": signatures.GZIP,
    ".jpeg": signatures.JPEG,
    ".jpg": signatures.JPEG,
    ".mp4": signatures.MP4,
    ".newick": signatures.NEWICK,
    ".obj": signatures.OBJ,
    ".pdf": signatures.PDF,
    ".png": signatures.PNG,
    ".sqreg": signatures.SQLITE,
    ".tif": signatures.TIFF,
    ".tiff": signatures.TIFF,
    ".zip": signatures.ZIP,
}
"""Formats that are checked, by suffix; CSV is not, since any text is valid CSV."""


def require_whole(path: SharePath, socket: str) -> None:
    """Given a fetched file, remove it and raise TryAgain if its structure is damaged."""
    problem = find_damage(path)
    if problem:
        path.unlink()
        raise TryAgain(Reason("download_incomplete", {"socket": socket, "problem": problem}))


def find_damage(path: SharePath) -> str:
    """Given a fetched file, return what is wrong with its structure, "" if nothing is found."""
    suffix = path.suffix.lower()
    if suffix == ".mha":
        return _mha_problem(path)
    if suffix == ".json":
        return _json_problem(path)
    if suffix in _FORMATS:
        return _format_problem(path, _FORMATS[suffix])
    return ""


def _format_problem(path: SharePath, wanted: signatures.Format) -> str:
    with path.open_file() as file:
        if not wanted.begins(file.read(signatures.START_BYTES)):
            return f"it does not begin like a {path.suffix.lower()} file"
        return wanted.damage(file)


def _json_problem(path: SharePath) -> str:
    with path.open_file() as file:
        return "" if is_json(file) else "it is not valid JSON"


def _mha_problem(path: SharePath) -> str:
    """Return what is wrong with the length of a MetaImage, "" if nothing or if it is unknown."""
    with path.open_file() as file:
        header = read_meta_header(file)
        size = os.fstat(file.fileno()).st_size
    fields = meta_fields(header)
    if not header.endswith(b"\n") or fields.get("ElementDataFile") != "LOCAL":
        return "its header is cut off"
    begin = len(header)
    expected = _mha_bytes(fields)
    if expected is not None and size - begin != expected:
        return f"{size - begin} of {expected} bytes of voxels arrived"
    return ""


def _mha_bytes(fields: Mapping[str, str]) -> int | None:
    """Given a header's fields, return the bytes of voxels that follow, None if unknown."""
    if fields.get("CompressedData", "False") == "True":
        size = fields.get("CompressedDataSize", "")
        return int(size) if size.isdecimal() else None
    element = META_VOXEL_BYTES.get(fields.get("ElementType", ""))
    sizes = fields.get("DimSize", "").split()
    numbers = [*sizes, fields.get("ElementNumberOfChannels", "1")]
    if element is None or not sizes or not all(number.isdecimal() for number in numbers):
        return None
    return math.prod(int(number) for number in numbers) * element
