"""Reads the header of a series as the platform's importer does, which reads whole data sets.

It looks for two elements in each of the others before them, sequences included, and so it fails
at any of them that can't be read (panimg 0.18.2, `image_builders/dicom.py`).
"""

import itertools
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from gcwatch.imaging.dicom.elements import dicom_errors, raise_if_system_error, read_dataset

_SEARCHED: Final = ("ImageOrientationPatient", "PixelSpacing")
_MOST_ELEMENTS: Final = 20_000
"""What was converted stays in memory; only enhanced files of many frames have more."""
_UIDS: Final = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID")
_NUMBERS: Final = ("RescaleSlope", "RescaleIntercept", "SpacingBetweenSlices")
_TEXTS: Final = ("Laterality", "SliceThickness", "WindowCenter", "WindowWidth")
"""Taken as a text, whatever it is."""


def find_unreadable_element(stream: BinaryIO) -> str:
    """Given a DICOM file at its start, return the name of an element that the importer can't read.

    Return "" if there is none.
    """
    try:
        dataset = read_dataset(stream)
        return next(_unreadable_elements(dataset), "")
    except dicom_errors(OSError) as error:
        raise_if_system_error(error)
        return "its header"


def _unreadable_elements(dataset: Any) -> Iterator[str]:
    for keyword in _SEARCHED:
        yield from _unreadable_before(dataset, keyword)
    for keyword in (*_UIDS, *_NUMBERS, *_TEXTS):
        try:
            is_sound = keyword not in dataset or _is_sound(dataset, keyword)
        except dicom_errors():
            is_sound = False
        if not is_sound:
            yield keyword


def _unreadable_before(dataset: Any, keyword: str) -> Iterator[str]:
    """Search for an element through all others; yield the one at which that ends in an error."""
    elements, last = itertools.islice(dataset.iterall(), _MOST_ELEMENTS), "its beginning"
    while True:
        try:
            element = next(elements, None)
        except dicom_errors():
            yield f"the element after {last}"
            return
        if element is None or element.keyword == keyword:
            return
        last = element.keyword or str(element.tag)


def _is_sound(dataset: Any, keyword: str) -> bool:
    """Whether the importer can use an element; pydicom's errors mean that it can't."""
    value = dataset[keyword].value
    if keyword in _UIDS:
        # The importer makes a folder of this name.
        return isinstance(value, str) and value.isprintable() and "/" not in value
    if keyword in _NUMBERS:
        float(value)
    elif keyword == "WindowCenter" and dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        # The importer calculates with it.
        for number in [value] if isinstance(value, int | float | str) else value:
            float(number)
    return True
