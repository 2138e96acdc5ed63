"""Reads the few elements that grouping and checks need, without pydicom, where that is certain.

What pydicom would convert in a way that is hard to foresee is left to it, by `UnusualHeader`.
"""

import functools
import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, Final

from gcwatch.imaging.dicom.elements import tag_of
from gcwatch.imaging.dicom.encoded import (
    IMPLICIT_SYNTAX,
    PIXELS,
    EncodedElements,
    UnusualHeader,
    read_meta,
)

_READ_BYTES: Final = 1 << 14
"""Files with longer headers are read by pydicom."""
_CHARACTER_SET: Final = 0x00080005
_SOP_CLASS: Final = 0x00080016
_PRINTABLE: Final = re.compile(rb"[ -~]*")
_BINARY_NUMBERS: Final = {(b"US", 2): "<H", (b"UL", 4): "<L"}
_WHOLE_NUMBER: Final = re.compile(rb"[+-]?[0-9]{1,9} ?")
_TEXT: Final = re.compile(rb"([!-\[\]-~](?: *[!-\[\]-~])*)[ \0]?")
_TEXT_VRS: Final = frozenset({b"CS", b"LO", b"SH", b"UI"})


class RawElement:
    """An element as its bytes."""

    __slots__ = ("value", "vr")

    def __init__(self, vr: bytes, value: bytes) -> None:
        self.vr, self.value = vr, value

    def converted(self) -> Any:
        """Return the value as pydicom gives it; raise UnusualHeader if that is not certain."""
        layout = _BINARY_NUMBERS.get((self.vr, len(self.value)))
        if layout is not None:
            return struct.unpack(layout, self.value)[0]
        if self.vr == b"IS" and _WHOLE_NUMBER.fullmatch(self.value):
            return int(self.value)
        text = _TEXT.fullmatch(self.value) if self.vr in _TEXT_VRS else None
        if text is None:
            raise UnusualHeader
        return text[1].decode()


class QuickDataset:
    """Some elements of a data set, with those of pydicom's methods that headers are read by."""

    preamble = b""

    def __init__(self, elements: Mapping[int, RawElement], syntax: bytes) -> None:
        self._elements = elements
        self.file_meta = {"TransferSyntaxUID": syntax.decode("ascii", "replace")}
        self.original_encoding = (syntax == IMPLICIT_SYNTAX, True)

    def get_item(self, tag: int) -> RawElement | None:
        """Return an element as it is, None if it is not there."""
        return self._elements.get(tag)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Return the value of an element; raise UnusualHeader if only pydicom can tell it."""
        element = self._elements.get(tag_of(keyword))
        return default if element is None else element.converted()

    def __getattr__(self, keyword: str) -> Any:
        """Return the value of an element that must be there."""
        value = self.get(keyword)
        if value is None:
            raise AttributeError(keyword)
        return value

    def __contains__(self, name: int | str) -> bool:
        """Whether there is an element of this keyword or tag."""
        return (tag_of(name) if isinstance(name, str) else name) in self._elements


@functools.cache
def _numbered(keywords: tuple[str, ...]) -> Mapping[int, Any]:
    """Return the tags of keywords by their numbers; one object a tag makes look-ups fast."""
    return {int(tag_of(keyword)): tag_of(keyword) for keyword in keywords}


def quick_dataset(stream: BinaryIO, keywords: tuple[str, ...]) -> QuickDataset:
    """Given a file open at its start, return these of its elements; leave it at its pixels.

    Raises:
        UnusualHeader: when pydicom has to read the file.
    """
    try:
        return _read(stream, _numbered(keywords))
    except (struct.error, EOFError) as error:  # a longer header, or one that is cut off
        raise UnusualHeader from error


def _read(stream: BinaryIO, wanted: Mapping[int, Any]) -> QuickDataset:
    data = stream.read(_READ_BYTES)
    syntax, at = read_meta(data)
    encoded = EncodedElements(data, implicit=syntax == IMPLICIT_SYNTAX)
    found: dict[int, RawElement] = {}
    while True:
        tag, vr, value, end = encoded.read(at)
        if tag in PIXELS:
            break
        if end > len(data):
            raise EOFError
        if tag == _CHARACTER_SET and not _PRINTABLE.fullmatch(data, value, end):
            raise UnusualHeader
        if tag in wanted:
            found[wanted[tag]] = RawElement(vr, data[value:end])
        if (vr == b"SQ" and tag in wanted) or (vr != b"SQ" and end < 0):
            raise UnusualHeader
        at = end if end >= 0 else encoded.skip_sequence(value)
    if _SOP_CLASS not in found:
        raise UnusualHeader
    stream.seek(at)
    return QuickDataset(found, syntax)
