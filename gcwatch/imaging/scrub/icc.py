"""ICC profiles: the numbers of colours go out; descriptions, names, dates and makers do not.

The encoding is that of ICC.1 (version 4.4, with the types of version 2).
"""

import struct
from collections.abc import Mapping
from typing import Final

_HEADER_BYTES: Final = 128
_MOST_TAGS: Final = 100
_CLASSES: Final = frozenset({b"mntr", b"scnr", b"prtr", b"spac"})
_COLOURS: Final = frozenset({b"RGB ", b"GRAY", b"CMYK", b"Lab ", b"XYZ ", b"YCbr"})
_KEPT: Final = frozenset(
    b"rXYZ gXYZ bXYZ wtpt bkpt rTRC gTRC bTRC kTRC chad A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 gamt".split()
)
"""Tags that hold numbers of colours alone."""
_PARAMETERS: Final = {0: 1, 1: 3, 2: 4, 3: 5, 4: 7}
"""How many numbers each kind of parametric curve has."""
_NAME: Final = "ICC"


def clean_profile(profile: bytes) -> bytes:
    """Given an ICC profile, return a new one with its numbers; b"" if it is damaged or unusual."""
    try:
        return _build(profile[:_HEADER_BYTES], _read_tags(profile))
    except (struct.error, KeyError, IndexError):
        return b""


def _read_tags(profile: bytes) -> dict[bytes, bytes]:
    (count,) = struct.unpack_from(">L", profile, _HEADER_BYTES)
    found = {}
    for number in range(min(count, _MOST_TAGS)):
        place = _HEADER_BYTES + 4 + 12 * number
        name, start, length = struct.unpack_from(">4sLL", profile, place)
        if name in _KEPT and (numbers := _numbers(profile[start : start + length])):
            found[name] = numbers
    return found


def _numbers(data: bytes) -> bytes:
    """Return the numbers of a tag without what is behind them, b"" for types with texts."""
    size = _size(data)
    return data[:4] + bytes(4) + data[8:size] if 0 < size <= len(data) else b""


def _size(data: bytes) -> int:
    """Return how many bytes a tag of a known type has, else 0."""
    match data[:4]:
        case b"XYZ ":
            return 20
        case b"sf32":
            return 44
        case b"curv":
            return int(12 + 2 * struct.unpack_from(">L", data, 8)[0])
        case b"para":
            return 12 + 4 * _PARAMETERS[struct.unpack_from(">H", data, 8)[0]]
        case b"mft1":
            inputs, outputs, points = data[8:11]
            return int(48 + 256 * inputs + points**inputs * outputs + 256 * outputs)
        case b"mft2":
            inputs, outputs, points = data[8:11]
            before, after = struct.unpack_from(">HH", data, 48)
            table = points**inputs * outputs
            return int(52 + 2 * (before * inputs + table + after * outputs))
        case _:
            return 0


def _build(old: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    kind, colours, connection = old[12:16], old[16:20], old[20:24]
    known = kind in _CLASSES and colours in _COLOURS and connection in {b"XYZ ", b"Lab "}
    if not (known and tags and old[36:40] == b"acsp"):
        return b""
    is_new = old[8] >= 4
    whole = {b"desc": _text(is_new, b"desc"), b"cprt": _text(is_new, b"text")}
    whole |= dict(sorted(tags.items()))
    table, content = b"", b""
    place = _HEADER_BYTES + 4 + 12 * len(whole)
    for name, data in whole.items():
        table += struct.pack(">4sLL", name, place + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    head = bytes(4) + old[8:10] + bytes(2) + kind + colours + connection + bytes(12) + b"acsp"
    head = (head + bytes(24) + old[64:80]).ljust(_HEADER_BYTES - 4, b"\0")
    size = place + len(content)
    return struct.pack(">L", size) + head + struct.pack(">L", len(whole)) + table + content


def _text(is_new: bool, kind: bytes) -> bytes:
    """Return the text that a profile must have."""
    if is_new:
        text = _NAME.encode("utf-16-be")
        return b"mluc" + bytes(4) + struct.pack(">LL4sLL", 1, 12, b"enUS", len(text), 28) + text
    text = _NAME.encode() + b"\0"
    if kind == b"text":
        return b"text" + bytes(4) + text
    return b"desc" + bytes(4) + struct.pack(">L", len(text)) + text + bytes(78)
