"""Checks the shape of JSON for each kind of socket.

The platform checks a value with the schema of its socket's kind, but its API does not offer that
schema. The rules here are the public part of it (platform 3.5). Where they could differ, they
allow more: unknown keys pass, and a chart needs only one of the keys that draw something. A socket
may also have a schema of its own, which only the platform knows.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic_core import (
    CoreSchema,
    ErrorDetails,
    PydanticCustomError,
    SchemaValidator,
    ValidationError,
)
from pydantic_core import core_schema as schema

from gcwatch.core.text import count_noun

_NUMBER = schema.float_schema(strict=True, allow_inf_nan=False)
_WHOLE = schema.float_schema(strict=True, allow_inf_nan=False, multiple_of=1)  # 3.0 is allowed too
_TEXT = schema.str_schema(strict=True)
_OBJECT = schema.dict_schema()


def _array_schema(items: CoreSchema, length: int | None = None) -> CoreSchema:
    # Only the first wrong item is reported; a list may have a million.
    return schema.list_schema(items, min_length=length, max_length=length, fail_fast=True)


def _object_schema(
    required: Mapping[str, CoreSchema], optional: Mapping[str, CoreSchema] | None = None
) -> CoreSchema:
    must = {key: schema.typed_dict_field(rule) for key, rule in required.items()}
    may = {
        key: schema.typed_dict_field(rule, required=False) for key, rule in (optional or {}).items()
    }
    return schema.typed_dict_schema(must | may, extra_behavior="ignore")


_XYZ = _array_schema(_NUMBER, 3)
_AXIS = _array_schema(_XYZ, 2)
_AMOUNT = schema.float_schema(strict=True, allow_inf_nan=False, ge=0, multiple_of=1)
_VERSION = _object_schema({"major": _AMOUNT, "minor": _AMOUNT})
_PROBABILITY = schema.float_schema(strict=True, allow_inf_nan=False, ge=0, le=1)

_ANNOTATIONS: Mapping[str, Mapping[str, CoreSchema]] = {
    "2D bounding box": {"corners": _array_schema(_XYZ, 4)},
    "Distance measurement": {"start": _XYZ, "end": _XYZ},
    "Point": {"point": _XYZ},
    "Polygon": {
        "seed_point": _XYZ,
        "path_points": _array_schema(_XYZ),
        "sub_type": _TEXT,
        "groups": _array_schema(_TEXT),
    },
    "Line": {
        "seed_points": _array_schema(_XYZ),
        "path_point_lists": _array_schema(_array_schema(_XYZ)),
    },
    "Angle": {"lines": _array_schema(_AXIS, 2)},
    "Ellipse": {"major_axis": _AXIS, "minor_axis": _AXIS},
    "Three-point angle": {"angle": _array_schema(_XYZ, 3)},
}
"""The fields of one annotation, by kind."""

_COLLECTIONS = {
    "Multiple 2D bounding boxes": ("boxes", "2D bounding box"),
    "Multiple distance measurements": ("lines", "Distance measurement"),
    "Multiple points": ("points", "Point"),
    "Multiple polygons": ("polygons", "Polygon"),
    "Multiple lines": ("lines", "Line"),
    "Multiple angles": ("angles", "Angle"),
    "Multiple ellipses": ("ellipses", "Ellipse"),
    "Multiple three-point angles": ("angles", "Three-point angle"),
}
"""For each kind of collection: the key of its annotations, and their kind."""

_DRAWN = ("mark", "layer", "facet", "repeat", "concat", "hconcat", "vconcat")


def _annotation_schema(kind: str) -> CoreSchema:
    head = {"type": schema.literal_schema([kind]), "version": _VERSION}
    optional = {"name": _TEXT, "probability": _PROBABILITY}
    return _object_schema({**head, **_ANNOTATIONS[kind]}, optional)


def _collection_schema(kind: str) -> CoreSchema:
    key, of = _COLLECTIONS[kind]
    optional = {
        "name": _TEXT,
        "probability": _PROBABILITY,
        "type": schema.literal_schema([of]),
    }
    items = _array_schema(_object_schema(_ANNOTATIONS[of], optional))
    head = {"type": schema.literal_schema([kind]), "version": _VERSION}
    return _object_schema({**head, key: items}, {"name": _TEXT})


def _require_chart(chart: dict[str, Any]) -> dict[str, Any]:
    if not any(key in chart for key in _DRAWN):
        raise PydanticCustomError("chart", "it has none of " + ", ".join(_DRAWN))
    return chart


_PLAIN: Mapping[str, CoreSchema] = {
    "String": _TEXT,
    "Integer": _WHOLE,
    "Float": _NUMBER,
    "Bool": schema.bool_schema(strict=True),
    "Anything": schema.any_schema(),
    "Choice": _TEXT,
    "Multiple choice": _array_schema(_TEXT),
    "Chart": schema.no_info_after_validator_function(_require_chart, _OBJECT),
    "Affine transform registration": _object_schema(
        {"3d_affine_transform": _array_schema(_array_schema(_NUMBER, 4), 4)}
    ),
}

KINDS = frozenset({*_PLAIN, *_ANNOTATIONS, *_COLLECTIONS})
"""Kinds of sockets with JSON content, as a value or as a file (platform 3.3)."""


@cache
def _validator_for(kind: str) -> SchemaValidator:
    if kind in _ANNOTATIONS:
        return SchemaValidator(_annotation_schema(kind))
    if kind in _COLLECTIONS:
        return SchemaValidator(_collection_schema(kind))
    return SchemaValidator(_PLAIN[kind])


def find_problem(value: Any, kind: str) -> str:
    """Given decoded JSON and a kind of `KINDS`, return what is wrong with it and where, or "".

    The place is a path such as `points[3].point[2]`. The text contains no part of the value.
    """
    try:
        _validator_for(kind).validate_python(value)
    except ValidationError as error:
        return _describe_error(error.errors(include_url=False)[0])
    return ""


def _describe_error(error: ErrorDetails) -> str:
    where = _format_path(error["loc"]) or "it"
    context = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"{where} is missing"
        case "literal_error":
            return f"{where} is not {context['expected']}"
        case "too_short" | "too_long":
            wanted = context.get("min_length", context.get("max_length"))
            return f"{where} has {count_noun(context['actual_length'], 'item')} instead of {wanted}"
        case "multiple_of":
            return f"{where} is not a whole number"
        case "greater_than_equal" | "less_than_equal":
            limit = (
                f"less than {context['ge']:g}"
                if "ge" in context
                else f"more than {context['le']:g}"
            )
            return f"{where} is {limit}"
        case "finite_number":
            return f"{where} is NaN or infinite"
        case "chart":
            return error["msg"]
    return f"{where} is {_type_name(error['input'])} instead of {_WANTED[error['type']]}"


_WANTED = {
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "an array",
    "dict_type": "an object",
}


def _format_path(location: tuple[int | str, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def _type_name(value: Any) -> str:
    names = {
        "NoneType": "null",
        "bool": "true or false",
        "dict": "an object",
        "float": "a number",
        "int": "a number",
        "list": "an array",
        "str": "a string",
    }
    return names.get(type(value).__name__, "something else")
