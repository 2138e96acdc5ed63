"""Which lines of a text header name nobody: known fields with numbers or known words."""

import re
from collections.abc import Mapping

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_LIST = rf"{_NUMBER}(?:[ \t]+{_NUMBER})*"

NUMBERS = re.compile(_LIST)

IMAGE_FACTS: Mapping[str, re.Pattern[str]] = {
    "Laterality": re.compile(r"(?i:[LRBU]|left|right|both|od|os|ou)"),
    "SliceThickness": re.compile(_NUMBER),
    "Exposures": NUMBERS,
    "WindowCenter": re.compile(rf"{_NUMBER}|\[(?:{_NUMBER},\s?)*{_NUMBER}\]"),
    "WindowWidth": re.compile(rf"{_NUMBER}|\[(?:{_NUMBER},\s?)*{_NUMBER}\]"),
    "SmallestImagePixelValue": re.compile(_NUMBER),
    "LargestImagePixelValue": re.compile(_NUMBER),
    "t0": re.compile(_NUMBER),
    "t1": re.compile(_NUMBER),
}
"""Further facts that the importer keeps (panimg 0.18.2). It also knows ContentTimes; the time of
an examination goes, as in DICOM."""
