"""Says whether the value of a kept element has the form of its VR (DICOM PS3.5, section 6.2).

A keep-list names elements, and a program or a person may have put any text into any element. So
what is kept must also look like what it is: a code, a number, a UID. Else it is removed.
"""

import functools
import re
import struct
from collections.abc import Mapping
from typing import Any, Final

_STACK_ID: Final = 0x00209056
_NUMBER: Final = rb" *(?:[+-]?(?:\d{1,16}(?:\.\d{0,16})?|\.\d{1,16})(?:[eE][+-]?\d{1,4})?)? *"
_CODE: Final = rb"[A-Z0-9_ ]{0,16}"
_FORMS: Final = {
    b"CS": re.compile(rb"%b(?:\\%b)*" % (_CODE, _CODE)),
    b"DS": re.compile(rb"%b(?:\\%b)*\0?" % (_NUMBER, _NUMBER)),
    b"IS": re.compile(rb"%b(?:\\%b)*\0?" % (_NUMBER, _NUMBER)),
    b"UI": re.compile(rb"[0-9.\\]*[\0 ]*"),
}
_UNIT_BYTES: Final = {b"AT": 4, b"FD": 8, b"FL": 4, b"SL": 4, b"SS": 2, b"UL": 4, b"US": 2}
_CODES: Final = {
    b"AT": "L",
    b"FD": "d",
    b"FL": "f",
    b"SL": "l",
    b"SS": "h",
    b"UL": "L",
    b"US": "H",
}
_NAME_BYTES: Final = 8
"""Numbers of this length together, or one alone, can be a name."""
_TEXT: Final = re.compile(rb"[ -~]{7,}[A-Za-z^ ]")
"""A number whose last byte is a letter is larger than 100 000, or tiny."""
_LEAST: Final = 1e-6
_MOST_INDEX: Final = 1 << 24
_MOST: Final = {b"FD": 1 << 17, b"FL": 1 << 17, b"SS": 0x2020, b"US": 0x2020}
"""Less than any text of two, or of eight, letters as a number."""
_NUMBERED: Final = re.compile(rb"\d{0,16} ?")
_UNKNOWN: Final = b"UN"


@functools.cache
def _known_vrs(tag: int) -> tuple[bytes, ...]:
    """Return the VRs that an element may have: one, or several and their names joined by "or"."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 - as in read_dataset

    try:
        name = dictionary_VR(tag).encode()
    except KeyError:
        return ()
    return (name, *name.split(b" or "))


@functools.cache
def _binary_bytes(tag: int, vr: bytes) -> int | None:
    """Return the length of a binary value that always has as many numbers, else None."""
    from pydicom.datadict import dictionary_VM  # noqa: PLC0415 - as in read_dataset

    count, unit = dictionary_VM(tag), _UNIT_BYTES.get(vr)
    return int(count) * unit if unit and count.isdecimal() else None


def has_form(tag: int, vr: bytes, value: bytes) -> bool:
    """Whether a value is what its element is for; free text always is, an empty value never.

    The importer fails at some empty values, and takes an element that is missing for empty.
    """
    known = _known_vrs(tag)
    if vr == _UNKNOWN and known:
        vr = known[0]
    if vr not in known:
        return False
    if vr == b"SQ":
        return True
    if not value.strip(b" \0"):
        return vr in _UNIT_BYTES and bool(value)
    if tag == _STACK_ID:
        return _NUMBERED.fullmatch(value) is not None
    if vr in _UNIT_BYTES:
        return _are_numbers(tag, vr, value)
    form = _FORMS.get(vr)
    return form is None or form.fullmatch(value) is not None


def _are_numbers(tag: int, vr: bytes, value: bytes) -> bool:
    """Whether a binary value has as many numbers as its element, and is no text.

    Elements with any count are indices, tags, or the values of a table: a text has larger numbers.
    """
    size, unit = _binary_bytes(tag, vr), _UNIT_BYTES[vr]
    if len(value) % unit or size not in {None, len(value)}:
        return False
    if size is not None:
        step = unit if unit == _NAME_BYTES else max(size, _NAME_BYTES)
        return not any(_TEXT.fullmatch(value, at, at + step) for at in range(0, size, step))
    numbers = struct.unpack(f"<{len(value) // unit}{_CODES[vr]}", value)
    if vr == b"AT":
        return all(_known_vrs(number << 16 & 0xFFFF0000 | number >> 16) for number in numbers)
    most = _MOST.get(vr, _MOST_INDEX)
    return all(number == 0 or _LEAST <= abs(number) < most for number in numbers)


def prepare_dataset(dataset: Any, actions: Mapping[int, str], *, strict: bool) -> None:
    """Remove from a dataset, before values are decoded, what is not to stay in it.

    That is what has no action, or the action "X", and if `strict` what is kept ("K") without the
    form of its VR. Values that are replaced by constants are emptied: they may be undecodable.
    """
    for tag in list(dataset.keys()):
        action = actions.get(tag, "X")
        raw = dataset.get_item(tag)
        vr = (raw.VR or "").encode() or (_known_vrs(int(tag)) or (b"",))[0]
        is_sequence = b"SQ" in _known_vrs(int(tag))
        if action == "X" or (strict and vr == b"SQ" and not is_sequence):
            del dataset[tag]
        elif is_sequence and vr in {b"SQ", _UNKNOWN}:
            for item in dataset[tag].value or ():
                prepare_dataset(item, actions, strict=strict)
        elif action in {"D", "Z"} and raw.is_raw:
            dataset[tag] = raw._replace(value=b"", length=0)
        elif strict and action == "K" and not _has_form(int(tag), vr, raw):
            del dataset[tag]


def _has_form(tag: int, vr: bytes, element: Any) -> bool:
    """As `has_form`, for an element that may be decoded already (pydicom needs some early)."""
    from pydicom.datadict import dictionary_VM  # noqa: PLC0415 - as in read_dataset

    if isinstance(element.value, bytes) or element.value is None:
        return has_form(tag, vr, element.value or b"")
    if vr in _UNIT_BYTES:
        count = dictionary_VM(tag)
        return not count.isdecimal() or int(count) == element.VM
    values = [element.value] if element.VM < 2 else element.value
    return has_form(tag, vr, "\\".join(map(str, values)).encode("utf-8", "replace"))
