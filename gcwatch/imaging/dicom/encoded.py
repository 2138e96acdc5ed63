"""Finds the elements of a little-endian DICOM file's first bytes, without an object for each.

The encoding is that of DICOM PS3.5, section 7.
"""

import functools
import struct
from dataclasses import dataclass
from typing import Final

from gcwatch.imaging.dicom.elements import PIXEL_TAGS, UNDEFINED_LENGTH

META_START: Final = 132
"""The meta group follows the preamble and `DICM`."""
IMPLICIT_SYNTAX: Final = b"1.2.840.10008.1.2"
PIXELS: Final = frozenset(group << 16 | element for group, element in PIXEL_TAGS)
"""Tags at which a header ends."""
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
SHORT_HEAD: Final = 8
"""Bytes before the value of an implicit element, or of an explicit one of a short VR."""

_NOT_COVERED: Final = frozenset({b"", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2"})
"""Transfer syntaxes that are unknown, deflated, or big-endian."""
DEEPEST_SEQUENCE: Final = 16
_META_GROUP: Final = 2
_TRANSFER_SYNTAX: Final = 0x00020010

_SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Explicit VRs whose length has four bytes."""

_ALL_VRS: Final = _SHORT_VRS | _LONG_VRS

_unpack_head: Final = struct.Struct("<HH2sH").unpack_from
_unpack_length: Final = struct.Struct("<L").unpack_from


class UnusualHeader(Exception):
    """The pass does not cover this header: the library does the work."""


@dataclass(frozen=True)
class EncodedElements:
    """The elements of a file's first bytes, in explicit or implicit VR little-endian."""

    data: bytes
    implicit: bool

    def read(self, at: int) -> tuple[int, bytes, int, int]:
        """Return the tag of the element at a position, its VR, and its value's start and end.

        The end of a value of undefined length is -1. Raise struct.error behind the data.
        """
        group, element, vr, length = _unpack_head(self.data, at)
        tag, value = group << 16 | element, at + 8
        if self.implicit or group == 0xFFFE:
            length = _unpack_length(self.data, at + 4)[0]
            vr = _dictionary_vr(tag)
        elif vr in _LONG_VRS:
            length = _unpack_length(self.data, value)[0]
            value += 4
        elif vr not in _SHORT_VRS:
            raise UnusualHeader
        return tag, vr, value, -1 if length == UNDEFINED_LENGTH else value + length

    def find(self, wanted: int, at: int) -> bytes:
        """Return the value of an element of the data set that starts at a position."""
        tag = 0
        while tag < wanted:
            tag, _, value, end = self.read(at)
            at = end if end >= 0 else self.skip_sequence(value)
        if tag != wanted:
            raise UnusualHeader
        return self.data[value:end].rstrip(b"\0 ")

    def skip_sequence(self, at: int, depth: int = 0) -> int:
        """Given where the items of a sequence of undefined length start, return where it ends."""
        if depth > DEEPEST_SEQUENCE:
            raise UnusualHeader
        while True:
            tag, _, at, end = self.read(at)
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise UnusualHeader
            at = end if end >= 0 else self._skip_item(at, depth)

    def _skip_item(self, at: int, depth: int) -> int:
        while True:
            tag, _, at, end = self.read(at)
            if tag == ITEM_END:
                return at
            at = end if end >= 0 else self.skip_sequence(at, depth + 1)


def read_meta(data: bytes) -> tuple[bytes, int]:
    """Return the transfer syntax that a file's meta group names, and where the data set starts."""
    if data[META_START - 4 : META_START] != b"DICM":
        raise UnusualHeader
    meta, syntax = EncodedElements(data, implicit=False), b""
    tag, _, value, end = meta.read(META_START)
    if tag != 0x00020000 or end - value != 4:
        raise UnusualHeader
    start = end + _unpack_length(data, value)[0]
    while end < start:
        tag, vr, value, end = meta.read(end)
        # pydicom trusts the groups of the elements and not the length of the meta group.
        if tag >> 16 != _META_GROUP:
            raise UnusualHeader
        if tag == _TRANSFER_SYNTAX:
            if vr != b"UI":
                raise UnusualHeader
            syntax = data[value:end].rstrip(b"\0 ")
    if end != start or syntax in _NOT_COVERED or data[start : start + 2] == b"\x02\0":
        raise UnusualHeader
    # It trusts the first element, too, on whether VRs are explicit.
    is_explicit = data[start + 4 : start + 6] in _ALL_VRS
    if is_explicit != (syntax != IMPLICIT_SYNTAX):
        raise UnusualHeader
    return syntax, start


def with_value(old: bytes, value: bytes, *, implicit: bool) -> bytes:
    """Given an element with a short length and a new value, return it with that value."""
    if implicit:
        return old[:4] + struct.pack("<L", len(value)) + value
    return old[:6] + struct.pack("<H", len(value)) + value


@functools.lru_cache(maxsize=4096)
def _dictionary_vr(tag: int) -> bytes:
    """Return the VR of a tag by the dictionary, `UN` without one."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 - as in read_dataset

    try:
        return str(dictionary_VR(tag)).encode()
    except KeyError:
        return b"UN"
