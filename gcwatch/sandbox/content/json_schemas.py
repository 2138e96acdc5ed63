"""What JSON of each kind of socket must look like: the platform's schemas (platform 3.5).

The schemas are JSON Schema, of which `problem` knows the keywords that they use.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_NUMBER: Schema = {"type": "number"}
_STRING: Schema = {"type": "string"}
_SHARE: Schema = {"type": "number", "minimum": 0, "maximum": 1}
_VERSION: Schema = {
    "type": "object",
    "properties": {key: {"type": "number", "minimum": 0} for key in ("major", "minor")},
    "required": ["major", "minor"],
    "additionalProperties": False,
}


def _list(items: Schema, length: int | None = None) -> Schema:
    exact = {} if length is None else {"minItems": length, "maxItems": length}
    return {"type": "array", "items": items, **exact}


_PLACE = _list(_NUMBER, 3)

# What each annotation consists of, beside its type.
_ANNOTATIONS: dict[str, dict[str, Schema]] = {
    "2D bounding box": {"corners": _list(_PLACE, 4)},
    "Distance measurement": {"start": _PLACE, "end": _PLACE},
    "Point": {"point": _PLACE},
    "Polygon": {
        "seed_point": _PLACE,
        "path_points": _list(_PLACE),
        "sub_type": _STRING,
        "groups": _list(_STRING),
    },
    "Line": {"seed_points": _list(_PLACE), "path_point_lists": _list(_list(_PLACE))},
    "Angle": {"lines": _list(_list(_PLACE, 2), 2)},
    "Ellipse": {"major_axis": _list(_PLACE, 2), "minor_axis": _list(_PLACE, 2)},
    "Three-point angle": {"angle": _list(_PLACE, 3)},
}

# The kind of a list of annotations: the key of the list, and the kind of each.
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


def _annotation(kind: str, parts: dict[str, Schema], more: dict[str, Schema]) -> Schema:
    known = {"name": _STRING, "type": {"enum": [kind]}}
    return {
        "type": "object",
        "properties": {**parts, **known, **more},
        "additionalProperties": False,
    }


def _single(kind: str) -> Schema:
    parts = _ANNOTATIONS[kind]
    whole = _annotation(kind, parts, {"version": _VERSION, "probability": _SHARE})
    return {**whole, "required": ["version", "type", *parts]}


def _several(kind: str) -> Schema:
    """A list of annotations; each may leave its type out and has no version of its own."""
    key, single = _LISTS[kind]
    parts = _ANNOTATIONS[single]
    each = {**_annotation(single, parts, {"probability": _SHARE}), "required": [*parts]}
    whole = _annotation(kind, {key: _list(each)}, {"version": _VERSION})
    return {**whole, "required": ["version", "type", key]}


_VIEWS = (["data", "mark"], ["layer"], ["hconcat"], ["vconcat"], ["concat"], ["spec"])

SCHEMAS: dict[str, Schema] = {
    "String": _STRING,
    "Integer": {"type": "integer"},
    "Float": _NUMBER,
    "Bool": {"type": "boolean"},
    "Anything": {},
    "Chart": {"type": "object", "anyOf": [{"required": keys} for keys in _VIEWS]},
    "Choice": _STRING,
    "Multiple choice": _list(_STRING),
    "Affine transform registration": {
        "type": "object",
        "properties": {"3d_affine_transform": _list(_list(_NUMBER, 4), 4)},
        "required": ["3d_affine_transform"],
    },
    **{kind: _single(kind) for kind in _ANNOTATIONS},
    **{kind: _several(kind) for kind in _LISTS},
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def problem(kind: str, value: Any, own: Schema | None = None) -> str | None:
    """What is wrong with JSON for a socket, in the platform's words; None if nothing.

    Args:
        kind: Of the socket.
        value: The JSON.
        own: The socket's own schema, beside that of its kind.
    """
    schemas = (SCHEMAS[kind], own or {})
    found = next((each for schema in schemas for each in _problems(schema, value, "")), None)
    return f"JSON does not fulfill schema: instance{found}" if found else None


def _problems(schema: Schema, value: Any, at: str) -> Iterator[str]:
    if "type" in schema and not _is_of(schema["type"], value):
        yield f"{at} {value!r} is not of type {schema['type']!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at} {value!r} is not one of {schema['enum']!r}"
    options = schema.get("anyOf", [])
    if options and all(next(_problems(each, value, at), None) for each in options):
        yield f"{at} {value!r} is not valid under any of the given schemas"
    yield from _misfits(schema, value, at)


def _is_of(name: str, value: Any) -> bool:
    return isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool))


def _misfits(schema: Schema, value: Any, at: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _object(schema, value, at)
    elif isinstance(value, list):
        yield from _array(schema, value, at)
    elif isinstance(value, int | float):
        if value < schema.get("minimum", value):
            yield f"{at} {value!r} is less than the minimum of {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield f"{at} {value!r} is greater than the maximum of {schema['maximum']}"


def _object(schema: Schema, value: dict[str, Any], at: str) -> Iterator[str]:
    known = schema.get("properties", {})
    for key in schema.get("required", []):
        if key not in value:
            yield f"{at} {key!r} is a required property"
    for key, item in value.items():
        if key in known:
            yield from _problems(known[key], item, f"{at}[{key!r}]")
        elif schema.get("additionalProperties") is False:
            yield f"{at} Additional properties are not allowed ({key!r} was unexpected)"


def _array(schema: Schema, value: list[Any], at: str) -> Iterator[str]:
    if len(value) < schema.get("minItems", 0):
        yield f"{at} {value!r} is too short"
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{at} {value!r} is too long"
    for index, item in enumerate(value):
        yield from _problems(schema.get("items", {}), item, f"{at}[{index}]")
