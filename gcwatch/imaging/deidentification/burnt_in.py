"""Says whether a name may be burnt into the pixels of a DICOM file."""

from collections.abc import Mapping
from typing import Final, Literal

BurnedIn = Literal["refuse", "allow"]

_SOP_CLASS, _IMAGE_TYPE, _BURNED_IN = 0x00080016, 0x00080008, 0x00280301

_USUAL: Final = {
    "1.2.840.10008.5.1.4.1.1.3": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.3.1": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.6": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.6.1": "ultrasound",
    "1.2.840.10008.5.1.4.1.1.7": "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.1": "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "a secondary capture",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "a photograph",
    "1.2.840.10008.5.1.4.1.1.77.1.4.1": "a film of photographs",
}
"""Classes whose pictures often show the patient's name, whatever their header says."""


def find_burnt_in(told: Mapping[int, bytes]) -> str:
    """Given original values by tag, return why pixels may show a name; "" if they need not."""
    if told.get(_BURNED_IN, b"").strip(b" \0").upper() == b"YES":
        return "BurnedInAnnotation is YES"
    if b"SCREEN" in told.get(_IMAGE_TYPE, b"").upper():
        return "ImageType says that it is a screenshot"
    sop_class = told.get(_SOP_CLASS, b"").strip(b" \0").decode("ascii", "replace")
    usual = _USUAL.get(sop_class)
    return f"it is {usual}" if usual else ""
