"""A good value for each kind of socket whose values are JSON."""

VERSION = {"version": {"major": 1, "minor": 0}}
A, B, C, D = [0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0.5]

# What each annotation consists of, beside its type and version.
PARTS = {
    "2D bounding box": {"corners": [A, B, C, D]},
    "Distance measurement": {"start": A, "end": B},
    "Point": {"point": A},
    "Polygon": {"seed_point": A, "path_points": [A, B, C], "sub_type": "brush", "groups": ["x"]},
    "Line": {"seed_points": [A], "path_point_lists": [[A, B]]},
    "Angle": {"lines": [[A, B], [A, C]]},
    "Ellipse": {"major_axis": [A, C], "minor_axis": [B, D]},
    "Three-point angle": {"angle": [A, B, C]},
}
SINGLE = {kind: {"type": kind, **VERSION, **parts} for kind, parts in PARTS.items()}
LISTS = {
    "Multiple 2D bounding boxes": ("boxes", "2D bounding box"),
    "Multiple distance measurements": ("lines", "Distance measurement"),
    "Multiple points": ("points", "Point"),
    "Multiple polygons": ("polygons", "Polygon"),
    "Multiple lines": ("lines", "Line"),
    "Multiple angles": ("angles", "Angle"),
    "Multiple ellipses": ("ellipses", "Ellipse"),
    "Multiple three-point angles": ("angles", "Three-point angle"),
}
SEVERAL = {
    kind: {"type": kind, **VERSION, key: [PARTS[each], {**PARTS[each], "name": "b"}]}
    for kind, (key, each) in LISTS.items()
}
GOOD = {
    "String": "text",
    "Integer": -3,
    "Float": 2,
    "Bool": False,
    "Anything": [{"a": None}],
    "Chart": {"mark": "bar", "data": {"values": []}},
    "Affine transform registration": {"3d_affine_transform": [[1, 0, 0, 0]] * 4},
    "Choice": "left",
    "Multiple choice": ["a", "b"],
    **SINGLE,
}
