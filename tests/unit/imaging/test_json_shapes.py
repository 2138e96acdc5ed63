"""The JSON of every kind of socket is held to its shape, and told where it differs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gcwatch.imaging.checks import json_shapes
from gcwatch.sandbox.content import json_schemas as platform

VERSION = {"major": 1, "minor": 0}
Z, P = [0, 0, 0], [1, 2.5, -3]
ONE = {
    "2D bounding box": {"corners": [Z, P, P, Z]},
    "Distance measurement": {"start": Z, "end": P},
    "Point": {"point": P},
    "Polygon": {"seed_point": Z, "path_points": [Z, P], "sub_type": "brush", "groups": ["manual"]},
    "Line": {"seed_points": [Z, P], "path_point_lists": [[Z, P], []]},
    "Angle": {"lines": [[Z, P], [P, Z]]},
    "Ellipse": {"major_axis": [Z, P], "minor_axis": [P, Z]},
    "Three-point angle": {"angle": [Z, P, Z]},
}
MANY = {
    "Multiple 2D bounding boxes": ("boxes", "2D bounding box"),
    "Multiple distance measurements": ("lines", "Distance measurement"),
    "Multiple points": ("points", "Point"),
    "Multiple polygons": ("polygons", "Polygon"),
    "Multiple lines": ("lines", "Line"),
    "Multiple angles": ("angles", "Angle"),
    "Multiple ellipses": ("ellipses", "Ellipse"),
    "Multiple three-point angles": ("angles", "Three-point angle"),
}
RIGHT = {
    **{kind: {"type": kind, "version": VERSION, **parts} for kind, parts in ONE.items()},
    **{
        kind: {"type": kind, "version": VERSION, key: [ONE[of], {"type": of, **ONE[of]}]}
        for kind, (key, of) in MANY.items()
    },
    "Affine transform registration": {"3d_affine_transform": [[1, 0, 0, 0.5]] * 4},
    "Chart": {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "mark": "bar"},
    "String": "",
    "Integer": 3,
    "Float": 0.5,
    "Bool": False,
    "Anything": [1, {"a": None}],
    "Choice": "a",
    "Multiple choice": ["a", "b"],
}


def without(value, key):
    return {name: part for name, part in value.items() if name != key}


def test_every_json_kind_of_the_platform_is_known():
    """An example stands here for each of them."""
    assert set(RIGHT) == json_shapes.KINDS


@pytest.mark.parametrize("kind", RIGHT)
def test_the_platforms_own_shape_passes(kind):
    """As its schema asks for it."""
    assert json_shapes.find_problem(RIGHT[kind], kind) == ""


@pytest.mark.parametrize("kind", [kind for kind in RIGHT if isinstance(RIGHT[kind], dict)])
def test_what_the_platform_may_add_passes(kind):
    """Names, and keys of next year."""
    assert (
        json_shapes.find_problem({**RIGHT[kind], "name": "left", "color": [1, 2], "new": {}}, kind)
        == ""
    )


@pytest.mark.parametrize("kind", [*ONE, *MANY])
def test_every_part_of_an_annotation_is_needed(kind):
    """The platform refuses one without its version, too."""
    for key in RIGHT[kind]:
        assert json_shapes.find_problem(without(RIGHT[kind], key), kind) == f"{key} is missing"


@pytest.mark.parametrize("kind", [kind for kind in RIGHT if kind != "Anything"])
def test_null_is_of_no_other_kind(kind):
    """It is what a program writes that found nothing."""
    assert json_shapes.find_problem(None, kind).startswith("it is null instead of ")


def changed(kind, value, *path):
    result = json.loads(json.dumps(RIGHT[kind]))
    place = result
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return result


WRONG = [
    ("String", 1, "it is a number instead of a string"),
    ("Integer", True, "it is true or false instead of a number"),
    ("Integer", 0.5, "it is not a whole number"),
    ("Integer", float("inf"), "it is NaN or infinite"),
    ("Float", "0.5", "it is a string instead of a number"),
    ("Float", False, "it is true or false instead of a number"),
    ("Float", float("nan"), "it is NaN or infinite"),
    ("Bool", 0, "it is a number instead of true or false"),
    ("Bool", "true", "it is a string instead of true or false"),
    ("Choice", ["a"], "it is an array instead of a string"),
    ("Choice", 1, "it is a number instead of a string"),
    ("Multiple choice", "a", "it is a string instead of an array"),
    ("Multiple choice", ["a", {}], "[1] is an object instead of a string"),
    ("Chart", [], "it is an array instead of an object"),
    (
        "Chart",
        {"data": {}},
        "it has none of mark, layer, facet, repeat, concat, hconcat, vconcat",
    ),
    ("Point", [1, 2, 3], "it is an array instead of an object"),
    ("Point", RIGHT["Multiple points"], "type is not 'Point'"),
    ("Point", changed("Point", [1, 2], "point"), "point has 2 items instead of 3"),
    ("Point", changed("Point", [1] * 4, "point"), "point has 4 items instead of 3"),
    ("Point", changed("Point", "1", "point", 2), "point[2] is a string instead of a number"),
    ("Point", changed("Point", "1.0", "version"), "version is a string instead of an object"),
    ("Point", changed("Point", -1, "version", "minor"), "version.minor is less than 0"),
    ("Point", {**RIGHT["Point"], "probability": 1.5}, "probability is more than 1"),
    ("Point", {**RIGHT["Point"], "name": None}, "name is null instead of a string"),
    (
        "Multiple points",
        changed("Multiple points", None, "points", 1, "point", 2),
        "points[1].point[2] is null instead of a number",
    ),
    (
        "Multiple points",
        changed("Multiple points", {"type": "Point"}, "points", 0),
        "points[0].point is missing",
    ),
    (
        "Multiple points",
        changed("Multiple points", "Line", "points", 1, "type"),
        "points[1].type is not 'Point'",
    ),
    (
        "2D bounding box",
        changed("2D bounding box", [Z, P], "corners"),
        "corners has 2 items instead of 4",
    ),
    (
        "Line",
        changed("Line", [Z], "path_point_lists"),
        "path_point_lists[0][0] is a number instead of an array",
    ),
    (
        "Affine transform registration",
        {"3d_affine_transform": [[1, 0, 0]] * 4},
        "3d_affine_transform[0] has 3 items instead of 4",
    ),
]


@pytest.mark.parametrize(("kind", "value", "words"), WRONG)
def test_what_is_wrong_and_where_is_said(kind, value, words):
    """By a path, as a program would write it."""
    assert json_shapes.find_problem(value, kind) == words


@pytest.mark.parametrize(
    ("kind", "value"), [("Integer", 3.0), ("Float", 1), ("Chart", {"layer": []})]
)
def test_numbers_and_charts_are_taken_as_the_platform_takes_them(kind, value):
    """JSON knows one type of number, and a chart needs no `$schema`."""
    assert json_shapes.find_problem(value, kind) == ""


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just("secret"),
    lambda inner: st.lists(inner) | st.dictionaries(st.just("secret"), inner),
)


@given(st.sampled_from(sorted(json_shapes.KINDS)), JSON, st.data())
def test_any_json_gets_an_answer_that_quotes_nothing(kind, value, data):
    """What is in a value may name a patient."""
    whole = json.loads(json.dumps(RIGHT[kind]))
    if isinstance(whole, dict):
        whole[data.draw(st.sampled_from(sorted(whole)))] = value
        assert "secret" not in json_shapes.find_problem(whole, kind)
    assert "secret" not in json_shapes.find_problem(value, kind)


def places(value, path=()):
    """The paths of all parts of a value, itself included."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


PARTS = [
    (kind, path)
    for kind, value in RIGHT.items()
    for path in places(value)
    if path and "version" not in path
]


@given(st.sampled_from(PARTS), JSON.filter(lambda value: "nan" not in repr(value).lower()))
def test_whatever_the_platform_takes_is_never_refused(part, value):
    """The sandbox holds values to the platform's schemas by JSON Schema."""
    kind, path = part
    whole = changed(kind, value, *path)
    if "inf" not in repr(whole) and not platform.find_problem(kind, whole):
        assert json_shapes.find_problem(whole, kind) == ""
