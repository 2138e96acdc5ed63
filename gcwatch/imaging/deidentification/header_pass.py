"""De-identifies a little-endian header in one pass over its bytes, without an object per element.

It gives the bytes that the library gives, or raises `UnusualHeader`: then the library does the
work. So every rule of the library that is hard to foresee stays with it: other character sets,
values that it writes anew, big-endian files. The encoding is that of DICOM PS3.5, section 7.
"""

import functools
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from gcwatch.imaging.deidentification.encoded_rules import EncodedRules
from gcwatch.imaging.deidentification.forms import has_form
from gcwatch.imaging.deidentification.patients import PATIENT_ID
from gcwatch.imaging.deidentification.pixels import PixelLayout, read_layout
from gcwatch.imaging.dicom.elements import UNDEFINED_LENGTH
from gcwatch.imaging.dicom.encoded import (
    DEEPEST_SEQUENCE,
    IMPLICIT_SYNTAX,
    ITEM,
    ITEM_END,
    PIXELS,
    SEQUENCE_END,
    EncodedElements,
    UnusualHeader,
    read_meta,
    with_value,
)

_READ_BYTES: Final = (1 << 16, 1 << 20)
"""How much of a file is read for its header: little at first, as pixels follow it."""


_ITEM_BYTES: Final = struct.pack("<HH", 0xFFFE, 0xE000)
_UNDEFINED: Final = struct.pack("<L", UNDEFINED_LENGTH)
_ITEM_END_BYTES: Final = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
_SEQUENCE_END_BYTES: Final = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_CHARACTER_SET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_KEEP, _REMOVE, _NEW_UID, _CONSTANTS = "K", "X", "U", frozenset("DZ")


_UNIT_BYTES: Final = {
    **dict.fromkeys((b"OB", b"OW", b"SS", b"US"), 2),
    **dict.fromkeys((b"OB or OW", b"US or OW", b"US or SS", b"US or SS or OW"), 2),
    **dict.fromkeys((b"AT", b"FL", b"OF", b"OL", b"SL", b"UL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"OV", b"SV", b"UV"), 8),
}
"""VRs of binary values, which are copied, and the length that theirs is a multiple of."""

_WORD: Final = rb"(?:[!-\[\]-~](?: *[!-\[\]-~])*)?"
_NUMBER: Final = rb"[+-]?(?:\d{1,12}(?:\.\d{0,12})?|\.\d{1,12})(?:[eE][+-]?\d{1,2})?"
_AS_READ: Final = {
    **dict.fromkeys(
        b"AE AS CS DA DT LO LT SH ST TM UC UR UT".split(),
        re.compile(rb"%b(?:\\%b)* ?" % (_WORD, _WORD)),
    ),
    b"DS": re.compile(rb"(?:%b(?:\\%b)* ?)?" % (_NUMBER, _NUMBER)),
    b"IS": re.compile(rb"(?:[+-]?\d{1,9}(?:\\[+-]?\d{1,9})* ?)?"),
    b"UI": re.compile(rb"(?:[0-9.]+(?:\\[0-9.]+)*\0?)?"),
}
"""Values of ASCII text that the library writes as it has read them."""

_ONE_UID: Final = re.compile(rb"([0-9.]+)\0?")
_ASCII_BASED: Final = re.compile(rb"(?:ISO_IR (?:6|100|101|109|110|126|127|138|144|148|192) ?)?")
"""Character sets in which ASCII text has the bytes of ASCII."""


TOLD: Final = {
    0x00080008: "ImageType",
    0x00080016: "SOPClassUID",
    PATIENT_ID: "PatientID",
    0x00280301: "BurnedInAnnotation",
}
"""Elements that say whose image it is, and whether pixels may show a name."""


@dataclass(frozen=True)
class NewHeader:
    """A de-identified header, and where the pixels follow in the original file.

    `syntax` is the transfer syntax, `layout` is how the pixels are stored, None if the header does
    not say. `told` are original values of the elements `TOLD`, as far as they exist.
    """

    content: bytes
    pixels_start: int
    syntax: str
    layout: PixelLayout | None
    told: Mapping[int, bytes]


class HeaderPass:
    """De-identifies headers by the procedure of a library's object, and with its new UIDs.

    Args:
        library: A `DicomDeidentifier` of grand-challenge-dicom-de-identifier.
        strict: Whether what is kept must have the form of its VR (`forms`).
        new_patient_id: Given the original PatientID and its action, returns the new one, or "".
    """

    def __init__(
        self,
        library: Any,
        *,
        strict: bool = False,
        new_patient_id: Callable[[bytes, str], str] | None = None,
    ) -> None:
        self._new_patient_id = new_patient_id
        self._strict = strict
        self._rules_of = functools.cache(functools.partial(EncodedRules, library))
        self._uids = library.uid_map

    def deidentify(self, stream: BinaryIO) -> NewHeader:
        """Given a file open for reading, return its new header; raise UnusualHeader."""
        for size in _READ_BYTES:
            stream.seek(0)
            try:
                return self._deidentify(stream.read(size))
            except (struct.error, EOFError):  # the header goes on behind what was read
                continue
        raise UnusualHeader

    def _deidentify(self, data: bytes) -> NewHeader:
        syntax, start = read_meta(data)
        elements = EncodedElements(data, implicit=syntax == IMPLICIT_SYNTAX)
        rules = self._rules_of(elements.find(_SOP_CLASS, start), syntax)
        copy = _Copy(elements, rules, self._uids, self._strict, {})
        copied, end = copy.copy_file(start)
        if _SOP_INSTANCE not in copied:
            raise UnusualHeader
        rules.add_method(copied)
        self._replace_patient(copied, copy, rules)
        content = b"".join(copied[tag] for tag in sorted(copied))
        meta = rules.meta_group(copied[_SOP_INSTANCE][8:])
        layout = read_layout(copied, elements.read(end)[0])
        return NewHeader(meta + content, end, syntax.decode("latin-1"), layout, copy.told)

    def _replace_patient(
        self, copied: dict[int, bytes], copy: "_Copy", rules: EncodedRules
    ) -> None:
        if self._new_patient_id is None:
            return
        old, action = copy.told.get(PATIENT_ID, b""), rules.action(PATIENT_ID)
        if new := self._new_patient_id(old, action).encode():
            new += b" " * (len(new) % 2)
            head = struct.pack("<HH", PATIENT_ID >> 16, PATIENT_ID & 0xFFFF)
            is_implicit = copy.elements.implicit
            form = struct.Struct("<L" if is_implicit else "<H")
            vr = b"" if is_implicit else b"LO"
            copied[PATIENT_ID] = head + vr + form.pack(len(new)) + new


def _require_as_read(tag: int, vr: bytes, value: bytes) -> None:
    """Raise UnusualHeader unless the library writes an element as it has read it."""
    unit, pattern = _UNIT_BYTES.get(vr), _AS_READ.get(vr)
    is_as_read = not len(value) % unit if unit else pattern and pattern.fullmatch(value)
    if vr == b"FL" and is_as_read:  # the library reads a double: some NaN have other bytes then
        layout = f"<{len(value) // 4}f"
        is_as_read = struct.pack(layout, *struct.unpack(layout, value)) == value
    is_group_length = not tag & 0xFFFF
    if not is_as_read or len(value) % 2 or is_group_length:
        raise UnusualHeader
    if tag == _CHARACTER_SET and not _ASCII_BASED.fullmatch(value):
        raise UnusualHeader


@dataclass(frozen=True)
class _Copy:
    """Copies what the rules keep of a file's elements."""

    elements: EncodedElements
    rules: EncodedRules
    new_uids: Mapping[Any, Any]
    strict: bool
    told: dict[int, bytes]

    def copy_file(self, at: int) -> tuple[dict[int, bytes], int]:
        """Return the new elements of the data set that starts at a position, and where it ends.

        It ends before the pixels.
        """
        copied: dict[int, bytes] = {}
        while (tag := self.elements.read(at)[0]) not in PIXELS:
            at = self._copy_element(at, copied, 0)
        if self.rules.action(tag) != _KEEP:
            raise UnusualHeader
        return copied, at

    def _copy_element(self, at: int, copied: dict[int, bytes], depth: int) -> int:
        """Add what becomes of the element at a position to those before it; return its end."""
        tag, vr, value, end = self.elements.read(at)
        if end > len(self.elements.data):
            raise EOFError
        if end < 0 and vr != b"SQ":
            raise UnusualHeader
        if tag in TOLD and not depth:
            self.told[tag] = self.elements.data[value:end]
        action = self.rules.action(tag)
        if action == _REMOVE or (action == _KEEP and not self._may_stay(tag, vr, value, end)):
            return end if end >= 0 else self.elements.skip_sequence(value)
        if copied and tag <= next(reversed(copied)):
            raise UnusualHeader  # the library would sort them
        if vr == b"SQ":
            copied[tag], end = self._copy_sequence(at, action, depth)
        else:
            copied[tag] = self._new_element(at, action)
        return end

    def _may_stay(self, tag: int, vr: bytes, value: int, end: int) -> bool:
        content = b"" if vr == b"SQ" else self.elements.data[value:end]
        return not self.strict or has_form(tag, vr, content)

    def _new_element(self, at: int, action: str) -> bytes:
        tag, vr, value, end = self.elements.read(at)
        if action == _KEEP:
            _require_as_read(tag, vr, self.elements.data[value:end])
            return self.elements.data[at:end]
        if action == _NEW_UID and vr == b"UI":
            return self._replace_uid(at)
        if action in _CONSTANTS:
            return self.rules.constant(tag, vr)
        raise UnusualHeader

    def _replace_uid(self, at: int) -> bytes:
        _, _, value, end = self.elements.read(at)
        old = _ONE_UID.fullmatch(self.elements.data[value:end])
        if old is None:
            raise UnusualHeader
        new = str(self.new_uids[old[1].decode()]).encode()
        new += bytes(len(new) % 2)
        return with_value(self.elements.data[at:value], new, implicit=self.elements.implicit)

    def _copy_sequence(self, at: int, action: str, depth: int) -> tuple[bytes, int]:
        """Return the new sequence at a position, and where the old one ends."""
        if action != _KEEP or depth > DEEPEST_SEQUENCE:
            raise UnusualHeader
        _, _, value, end = self.elements.read(at)
        head = self.elements.data[at : value - 4]
        content, position = b"", value
        while position != end:
            tag, _, start, item_end = self.elements.read(position)
            if tag == SEQUENCE_END and end < 0:
                return head + _UNDEFINED + content + _SEQUENCE_END_BYTES, start
            if tag != ITEM:
                raise UnusualHeader
            item, position = self._copy_item(start, item_end, depth + 1)
            content += item
            if position > end >= 0:
                raise UnusualHeader
        return head + struct.pack("<L", len(content)) + content, end

    def _copy_item(self, start: int, end: int, depth: int) -> tuple[bytes, int]:
        """Return the new item whose elements start at a position, and where the old one ends."""
        copied: dict[int, bytes] = {}
        at = start
        while at != end:
            if end < 0 and self.elements.read(at)[0] == ITEM_END:
                content = b"".join(copied.values())
                return _ITEM_BYTES + _UNDEFINED + content + _ITEM_END_BYTES, at + 8
            at = self._copy_element(at, copied, depth)
            if at > end >= 0:
                raise UnusualHeader
        content = b"".join(copied.values())
        return _ITEM_BYTES + struct.pack("<L", len(content)) + content, end
