"""The platform's JSON Schema for each kind of socket, and the check against it (platform 3.5)."""

from typing import Any

from jsonschema import Draft4Validator
from jsonschema.exceptions import best_match

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_STRING: Schema = {"type": "string"}
_PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_VERSION: Schema = {
    "type": "object",
    "properties": {key: {"type": "number", "minimum": 0} for key in ("major", "minor")},
    "required": ["major", "minor"],
    "additionalProperties": False,
}


def _list_of(items: Schema, length: int | None = None) -> Schema:
    exact = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **exact}


_XYZ = _list_of(_NUMBER, 3)

# The keys of each kind of annotation, in addition to those that all kinds have.
_ANNOTATIONS: dict[str, dict[str, Schema]] = {
    "2D bounding box": {"corners": _list_of(_XYZ, 4)},
    "Distance measurement": {"start": _XYZ, "end": _XYZ},
    "Point": {"point": _XYZ},
    "Polygon": {
        "seed_point": _XYZ,
        "path_points": _list_of(_XYZ),
        "sub_type": _STRING,
        "groups": _list_of(_STRING),
    },
    "Line": {"seed_points": _list_of(_XYZ), "path_point_lists": _list_of(_list_of(_XYZ))},
    "Angle": {"lines": _list_of(_list_of(_XYZ, 2), 2)},
    "Ellipse": {"major_axis": _list_of(_XYZ, 2), "minor_axis": _list_of(_XYZ, 2)},
    "Three-point angle": {"angle": _list_of(_XYZ, 3)},
}

# For each kind of list: the key of the list, and the kind of its annotations.
_LISTS = {
    "Multiple 2D bounding boxes": ("boxes", "2D bounding box"),
    "Multiple distance measurements": ("lines", "Distance measurement"),
    "Multiple points": ("points", "Point"),
    "Multiple polygons": ("polygons", "Polygon"),
    "Multiple lines": ("lines", "Line"),
    "Multiple angles": ("angles", "Angle"),
    "Multiple ellipses": ("ellipses", "Ellipse"),
    "Multiple three-point angles": ("angles", "Three-point angle"),
}


def _annotation_schema(
    kind: str, parts: dict[str, Schema], required: tuple[str, ...], **optional: Schema
) -> Schema:
    known = {"name": _STRING, "type": {"enum": [kind]}}
    # Of several errors the first is reported: "required" comes before "additionalProperties".
    return {
        "type": "object",
        "properties": {**parts, **known, **optional},
        "required": [*required, *parts],
        "additionalProperties": False,
    }


def _single_schema(kind: str) -> Schema:
    parts = _ANNOTATIONS[kind]
    required = ("version", "type")
    return _annotation_schema(kind, parts, required, version=_VERSION, probability=_PROBABILITY)


def _multiple_schema(kind: str) -> Schema:
    """Build the schema of a list; each annotation in it has no version and may omit its type."""
    key, single = _LISTS[kind]
    each = _annotation_schema(single, _ANNOTATIONS[single], (), probability=_PROBABILITY)
    return _annotation_schema(kind, {key: _list_of(each)}, ("version", "type"), version=_VERSION)


_VIEWS = (["data", "mark"], ["layer"], ["hconcat"], ["vconcat"], ["concat"], ["spec"])

SCHEMAS: dict[str, Schema] = {
    "String": _STRING,
    "Integer": {"type": "integer"},
    "Float": _NUMBER,
    "Bool": {"type": "boolean"},
    "Anything": {},
    "Chart": {"type": "object", "anyOf": [{"required": keys} for keys in _VIEWS]},
    "Choice": _STRING,
    "Multiple choice": _list_of(_STRING),
    "Affine transform registration": {
        "type": "object",
        "properties": {"3d_affine_transform": _list_of(_list_of(_NUMBER, 4), 4)},
        "required": ["3d_affine_transform"],
    },
    **{kind: _single_schema(kind) for kind in _ANNOTATIONS},
    **{kind: _multiple_schema(kind) for kind in _LISTS},
}


def find_problem(kind: str, value: Any, own: Schema | None = None) -> str | None:
    """Check JSON against the schemas of its socket.

    Args:
        kind: Display string of the socket's kind.
        value: The decoded JSON.
        own: The socket's own schema, in addition to that of its kind.

    Returns:
        The platform's error message, or None if the JSON is valid.
    """
    for schema in (SCHEMAS[kind], own or {}):
        # Draft 4: the only one in which 1.0 is not an integer.
        if error := best_match(Draft4Validator(schema).iter_errors(value)):
            place = "".join(f"[{key!r}]" for key in error.absolute_path)
            return f"JSON does not fulfill schema: instance{place} {error.message}"
    return None
