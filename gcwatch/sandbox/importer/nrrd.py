"""NRRD files, read as the platform's importer reads them."""

import re
import zlib
from array import array
from math import hypot, isnan, prod
from pathlib import Path

from gcwatch.sandbox.metaimage import Unreadable, Volume

_TYPES = {
    **dict.fromkeys(("signed char", "int8", "int8_t"), "CHAR"),
    **dict.fromkeys(("uchar", "unsigned char", "uint8", "uint8_t"), "UCHAR"),
    **dict.fromkeys(("short", "short int", "signed short", "int16", "int16_t"), "SHORT"),
    **dict.fromkeys(("ushort", "unsigned short", "uint16", "uint16_t"), "USHORT"),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t"), "INT"),
    **dict.fromkeys(("uint", "unsigned int", "uint32", "uint32_t"), "UINT"),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t"), "LONG_LONG"),
    **dict.fromkeys(("ulonglong", "unsigned long long", "uint64", "uint64_t"), "ULONG_LONG"),
    "float": "FLOAT",
    "double": "DOUBLE",
}
_PLACES = {"domain", "space", "time", "???", "none"}
"""Kinds of axes along which voxels lie; another axis holds the numbers of one voxel."""

_END = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(r"([^:#]+): ?(.*)")
_DETACHED = re.compile(r"data\s?file")
_COUNTS = {
    **dict.fromkeys(("rgb-color", "hsv-color", "xyz-color", "3-color", "3-vector"), 3),
    **dict.fromkeys(("3-gradient", "3-normal", "2d-symmetric-matrix"), 3),
    **dict.fromkeys(("rgba-color", "4-color", "4-vector", "quaternion", "2d-matrix"), 4),
}
"""How many numbers an axis of this kind must have."""

_MOST_CHANNELS = 4
_MOST_AXES = 4


def read_nrrd(path: Path, work: Path) -> Volume:
    """Read an NRRD file with its data in it; detached headers are not read (platform 13.3).

    Raises:
        Unreadable: The importer does not read it.
    """
    data = path.read_bytes()
    head, body = _split(data)
    fields = _parse_fields(head)
    try:
        sizes = tuple(int(number) for number in fields["sizes"].split())
        element = f"MET_{_TYPES[fields['type']]}"
        spacing = _parse_spacing(fields, len(sizes))
        places, channels = _sort_axes(fields, sizes)
        voxels = _decode(fields, body, element, prod(sizes))
    except (KeyError, ValueError, zlib.error) as error:
        raise Unreadable(str(error)) from error
    raw = work / f"{path.name}.raw"
    raw.write_bytes(voxels.tobytes())
    return Volume(
        path.name,
        tuple(sizes[axis] for axis in places),
        tuple(spacing[axis] for axis in places),
        element,
        raw,
        channels,
    )


def _split(data: bytes) -> tuple[str, bytes]:
    """Return the header, and the bytes after the empty line that ends it."""
    end = _END.search(data)
    if not re.match(rb"NRRD000[1-5]\r?\n", data) or not end:
        raise Unreadable("not an NRRD file")
    return data[: end.start()].decode("utf-8", "replace"), data[end.end() :]


def _parse_fields(head: str) -> dict[str, str]:
    found = (_FIELD.fullmatch(line.strip()) for line in head.splitlines())
    pairs = [(match[1].strip().lower(), match[2].strip()) for match in found if match]
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise Unreadable("a field that stands twice")
    if any(_DETACHED.fullmatch(name) for name in fields):
        raise Unreadable("its data is in another file")
    return fields


def _sort_axes(fields: dict[str, str], sizes: tuple[int, ...]) -> tuple[list[int], int]:
    """Return the axes along which voxels lie, and how many numbers each voxel has."""
    kinds = fields.get("kinds", "").lower().split() or ["domain"] * len(sizes)
    places = [axis for axis, kind in enumerate(kinds) if kind in _PLACES]
    others = [sizes[axis] for axis in range(len(sizes)) if axis not in places]
    channels = others[0] if others else 1
    if len(kinds) != len(sizes) or len(others) > 1 or not 2 <= len(places) <= _MOST_AXES:
        raise Unreadable("not 2 to 4 axes")
    if others and 0 in places:
        raise Unreadable("the numbers of a voxel are not together")
    if any(_COUNTS.get(kind, size) != size for kind, size in zip(kinds, sizes, strict=True)):
        raise Unreadable("a kind of axis with a wrong count")
    if channels > _MOST_CHANNELS or min(sizes) < 1:
        raise Unreadable("more than 4 numbers for each voxel")
    return places, channels


def _parse_spacing(fields: dict[str, str], count: int) -> tuple[float, ...]:
    """Return the distance of voxels along each axis; 1 mm where the header tells none."""
    if "space directions" in fields:
        vectors = re.findall(r"none|\([^)]*\)", fields["space directions"])
        steps = tuple(
            1.0 if each == "none" else hypot(*map(float, each[1:-1].split(","))) for each in vectors
        )
    else:
        steps = tuple(map(float, fields.get("spacings", "1 " * count).split()))
    if len(steps) != count:
        raise Unreadable("not a spacing for each axis")
    return tuple(1.0 if isnan(step) else abs(step) for step in steps)


def _decode(fields: dict[str, str], body: bytes, element: str, count: int) -> array:  # type: ignore[type-arg]
    typecode = Volume("", (), (), element, Path()).typecode
    length = count * array(typecode).itemsize
    for _ in range(int(fields.get("line skip", fields.get("lineskip", "0")))):
        body = body.partition(b"\n")[2]
    encoding, skip = fields["encoding"].lower(), fields.get("byte skip", fields.get("byteskip"))
    if encoding in {"ascii", "text", "txt"}:
        numbers = body.partition(b"\0")[0].replace(b",", b" ").split()
        if len(numbers) < count:
            raise Unreadable("voxels are missing")
        parse = float if typecode in "fd" else int
        return array(typecode, [parse(number) for number in numbers[:count]])
    if encoding in {"gzip", "gz"}:
        body = zlib.decompressobj(wbits=31).decompress(body)
    elif encoding == "hex":
        digits = b"".join(body.split())[: 2 * length].decode("ascii", "replace")
        body = bytes.fromhex(digits + "0" * (len(digits) % 2))
    elif encoding != "raw":
        raise Unreadable("an encoding that is not read")
    begin = max(0, len(body) - length) if skip == "-1" else int(skip or 0)
    voxels = array(typecode, _require(body[begin : begin + length], length))
    if voxels.itemsize > 1 and fields["endian"].lower() == "big":
        voxels.byteswap()
    return voxels


def _require(data: bytes, length: int) -> bytes:
    if len(data) < length:
        raise Unreadable("voxels are missing")
    return data
