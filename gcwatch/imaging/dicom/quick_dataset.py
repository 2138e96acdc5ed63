"""Reads the few elements that grouping and checks need, without pydicom, where that is certain.

What pydicom would convert in a way that is hard to foresee is left to it, by `UnusualHeader`.
"""

import functools
import os
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple

from gcwatch.imaging.dicom.elements import PixelData, tag_of
from gcwatch.imaging.dicom.encoded import (
    IMPLICIT_SYNTAX,
    PIXELS,
    EncodedElements,
    UnusualHeader,
    read_meta,
)
from gcwatch.imaging.dicom.stretches import Element, ReadElement, Stretches

_READ_BYTES: Final = 1 << 14
"""Files with longer headers are read by pydicom."""
_CHARACTER_SET: Final = 0x00080005
_PIXEL_DATA: Final = 0x7FE00010
_PIXEL_VRS: Final = {b"OB": b"OB", b"OW": b"OW", b"OB or OW": b"OW"}
_PRINTABLE: Final = re.compile(rb"[ -~]*")
_BINARY_NUMBERS: Final = {(b"US", 2): "<H", (b"UL", 4): "<L"}
_WHOLE_NUMBER: Final = re.compile(rb"[+-]?[0-9]{1,9} ?")
_TEXT: Final = re.compile(rb"([!-\[\]-~](?: *[!-\[\]-~])*)[ \0]?")
_TEXT_VRS: Final = frozenset({b"CS", b"LO", b"SH", b"UI"})


Abridge = Callable[[bytes], bytes]


class RawElement:
    """An element as its bytes."""

    __slots__ = ("value", "vr")

    def __init__(self, vr: bytes, value: bytes) -> None:
        self.vr, self.value = vr, value

    @property
    def VR(self) -> str:  # noqa: N802 - as pydicom calls it
        """The VR as text."""
        return self.vr.decode()

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

    def __init__(self, elements: Iterable[Element], syntax: bytes) -> None:
        self._elements = {tag: RawElement(vr, value) for tag, vr, value in elements}
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


class QuickHeader(NamedTuple):
    """What was read of a file.

    `common` are the elements that most files of a series have in common; those that differ from
    file to file are abridged there, and whole in `own`. `pixels` is None if `find_pixel_data` has
    to find them, at which the stream then is.
    """

    common: tuple[Element, ...]
    own: tuple[Element, ...]
    syntax: bytes
    pixels: PixelData | None


class QuickReader:
    """Reads some elements of headers; threads may share it.

    Args:
        keywords: The elements.
        own: Those of them that differ from file to file, and how their values are abridged.
    """

    def __init__(self, keywords: Sequence[str], own: Mapping[str, Abridge]) -> None:
        self._keywords, self._own = keywords, own
        self._stretches = {False: Stretches(), True: Stretches()}

    @functools.cached_property
    def wanted(self) -> Mapping[int, Any]:
        """The tags by their numbers; one object a tag makes look-ups fast."""
        return {int(tag_of(keyword)): tag_of(keyword) for keyword in self._keywords}

    @functools.cached_property
    def own(self) -> Mapping[int, Abridge]:
        """The same for elements that differ from file to file."""
        return {int(tag_of(keyword)): abridge for keyword, abridge in self._own.items()}

    def read(self, stream: BinaryIO) -> QuickHeader:
        """Given a file open at its start, return what is needed of its header.

        Raises:
            UnusualHeader: when pydicom has to read the file.
        """
        data = stream.read(_READ_BYTES)
        try:
            syntax, at = read_meta(data)
            is_implicit = syntax == IMPLICIT_SYNTAX
            encoded = EncodedElements(data, implicit=is_implicit)
            scan = _Scan(encoded, self.wanted, self.own, self._stretches[is_implicit])
            at = scan.read_to_pixels(at)
            pixels = _native_pixels(stream, *encoded.read(at))
        except (struct.error, EOFError) as error:  # a longer header, or one that is cut off
            raise UnusualHeader from error
        if pixels is None:
            stream.seek(at)
        return QuickHeader(tuple(scan.common), tuple(scan.found_own), syntax, pixels)


@dataclass
class _Scan:
    """One way through the elements of a header, up to its pixels."""

    encoded: EncodedElements
    wanted: Mapping[int, Any]
    own: Mapping[int, Abridge]
    stretches: Stretches
    common: list[Element] = field(default_factory=list)
    found_own: list[Element] = field(default_factory=list)
    last: int = 0

    def read_to_pixels(self, at: int) -> int:
        """Read from the position of the first element on; return that of the pixels."""
        singly: list[ReadElement | None] = []
        data = self.encoded.data
        while True:
            stretch = self.stretches.find(data, at, self.last)
            if stretch is not None:
                self.common += stretch.needed
                self.last = stretch.last or self.last
                at += len(stretch.content)
                singly.append(None)
                continue
            tag, vr, value, end = self.encoded.read(at)
            if tag in PIXELS:
                break
            after = self._end_of(vr, value, end)
            needed = self._keep(tag, vr, data[value:end]) if tag in self.wanted else None
            if tag == _CHARACTER_SET and not _PRINTABLE.fullmatch(data, value, end):
                raise UnusualHeader
            singly.append(ReadElement(tag, data[at:after], needed, tag in self.own))
            at = after
        self.stretches.learn(singly)
        return at

    def _end_of(self, vr: bytes, value: int, end: int) -> int:
        """Return where an element ends, also if only its items tell that."""
        if end > len(self.encoded.data):
            raise EOFError
        if end >= 0:
            return end
        if vr != b"SQ":
            raise UnusualHeader
        return self.encoded.skip_sequence(value)

    def _keep(self, tag: int, vr: bytes, value: bytes) -> Element:
        """Keep an element that is needed; return it as it is in what files have in common."""
        if vr == b"SQ" or tag <= self.last:
            raise UnusualHeader
        self.last = tag
        if tag in self.own:
            self.found_own.append((self.wanted[tag], vr, value))
            value = self.own[tag](value)
        self.common.append((self.wanted[tag], vr, value))
        return self.common[-1]


def _native_pixels(stream: BinaryIO, tag: int, vr: bytes, start: int, end: int) -> PixelData | None:
    """Return where pixels are of which the header tells the length; None for others."""
    if tag != _PIXEL_DATA or end < 0 or vr not in _PIXEL_VRS:
        return None
    if end > os.fstat(stream.fileno()).st_size:
        return None
    return PixelData(_PIXEL_VRS[vr], (tag >> 16, tag & 0xFFFF), start, end, encapsulated=False)
