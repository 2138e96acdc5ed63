"""Values of elements that a route's `only` asks for, as text."""

import functools
from collections.abc import MutableSequence
from typing import Any, Final

from gcwatch.imaging.dicom.elements import dicom_errors, raw_value
from gcwatch.imaging.dicom.encoded import UnusualHeader
from gcwatch.imaging.dicom.quick_dataset import QuickDataset

_BINARY_VRS: Final = frozenset({"US", "UL", "SS", "SL", "UV", "SV", "FL", "FD"})


def asked_text(dataset: Any, keyword: str) -> str | None:
    """Return the value of an element, several joined by a backslash; None if it is missing.

    Raise UnusualHeader if pydicom has to read it: letters other than ASCII, most binary numbers.
    """
    if keyword not in dataset:
        return None
    if not _is_binary(keyword):
        raw = raw_value(dataset, keyword)
        if raw.isascii() and b"\x1b" not in raw:  # ISO 2022 writes other letters behind ESC
            return raw.decode().strip(" \0")
        if isinstance(dataset, QuickDataset):
            raise UnusualHeader
    try:
        value = dataset.get(keyword)
    except dicom_errors():
        return ""
    several = value if isinstance(value, MutableSequence) else [value]
    return "\\".join("" if each is None else str(each) for each in several)


@functools.cache
def _is_binary(keyword: str) -> bool:
    """Whether the values of an element are numbers that are not written as text."""
    from pydicom.datadict import dictionary_VR  # noqa: PLC0415 - as in read_dataset

    return not _BINARY_VRS.isdisjoint(dictionary_VR(keyword).split(" or "))
