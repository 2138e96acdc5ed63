"""The type of `only`: which DICOM series of a folder are taken."""

import difflib
from typing import Annotated, Any, Final

from pydantic import PlainValidator, WithJsonSchema

from gcwatch.config.values.types import value_error
from gcwatch.core.rules.series_rules import OTHER_VRS, SeriesRule, SeriesRules, parse_rule

_HINT: Final = 'write { Modality = "CT", SliceThickness = "<=1.5", SeriesDescription = "/lung/i" }'
_META_GROUP: Final = 0x0002


def _only(value: Any) -> SeriesRules:
    if isinstance(value, SeriesRules):
        return value
    if not isinstance(value, dict) or not value:
        raise value_error("is no table of DICOM elements", _HINT)
    return SeriesRules(tuple(_rule(str(keyword), wanted) for keyword, wanted in value.items()))


def _rule(keyword: str, wanted: Any) -> SeriesRule:
    from pydicom.datadict import dictionary_VR, tag_for_keyword  # noqa: PLC0415 - as in read_dataset

    tag = tag_for_keyword(keyword)
    if tag is None:
        raise value_error(f'names no DICOM element: "{keyword}"', _similar(keyword))
    vr = dictionary_VR(tag)
    if tag >> 16 == _META_GROUP or OTHER_VRS & set(vr.split(" or ")):
        message = f"can't compare {keyword}: it is no text and no number of the image"
        raise value_error(message, _HINT)
    try:
        return parse_rule(keyword, vr, wanted)
    except ValueError as error:
        raise value_error(f"has a wrong value for {keyword}: it {error}", _HINT) from None


def _similar(keyword: str) -> str:
    """Say which element may be meant."""
    from pydicom.datadict import keyword_dict  # noqa: PLC0415 - as above

    by_lower = {each.lower(): each for each in keyword_dict if each}
    found = difflib.get_close_matches(keyword.lower().replace(" ", ""), by_lower, 1, 0.7)
    return f"did you mean {by_lower[found[0]]}?" if found else _HINT


_VALUE_SCHEMA: Final = {"type": ["string", "number"]}

Only = Annotated[
    SeriesRules,
    PlainValidator(_only),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {
                "anyOf": [_VALUE_SCHEMA, {"type": "array", "items": _VALUE_SCHEMA, "minItems": 1}]
            },
        }
    ),
]
