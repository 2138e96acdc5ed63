"""Every kind of socket in the sandbox: what it is called, what it takes, and what it refuses."""

import json

import pytest
from support.sandbox_user import SandboxUser, mha
from support.socket_values import GOOD, PARTS, SEVERAL, SINGLE, A

from gcwatch.sandbox import STANDARD, Algorithm, Catalogue, Interface, Sandbox
from gcwatch.sandbox.content.socket_kinds import KINDS

POINT = SINGLE["Point"]
BOX = SINGLE["2D bounding box"]

BAD = [
    ("String", 3, " 3 is not of type 'string'"),
    ("Integer", 1.5, " 1.5 is not of type 'integer'"),
    ("Integer", True, " True is not of type 'integer'"),
    ("Float", "much", " 'much' is not of type 'number'"),
    ("Bool", 0, " 0 is not of type 'boolean'"),
    ("Chart", {"mark": "bar"}, " {'mark': 'bar'} is not valid under any of the given schemas"),
    ("Choice", 1, " 1 is not of type 'string'"),
    ("Multiple choice", ["a", 1], "[1] 1 is not of type 'string'"),
    ("Affine transform registration", {}, " '3d_affine_transform' is a required property"),
    ("Point", PARTS["Point"], " 'version' is a required property"),
    ("Point", {**POINT, "point": [1, 2]}, "['point'] [1, 2] is too short"),
    ("Point", {**POINT, "point": [1, 2, 3, 4]}, "['point'] [1, 2, 3, 4] is too long"),
    ("Point", {**POINT, "point": [1, 2, "3"]}, "['point'][2] '3' is not of type 'number'"),
    ("Point", {**POINT, "type": "Line"}, "['type'] 'Line' is not one of ['Point']"),
    ("Point", {**POINT, "probability": 2}, "['probability'] 2 is greater than the maximum of 1"),
    ("Point", {**POINT, "probability": -1}, "['probability'] -1 is less than the minimum of 0"),
    (
        "Point",
        {**POINT, "colour": 1},
        " Additional properties are not allowed ('colour' was unexpected)",
    ),
    ("2D bounding box", {**BOX, "corners": [A]}, "['corners'] [[0, 0, 0]] is too short"),
    ("Polygon", POINT, " 'seed_point' is a required property"),
]


@pytest.fixture
def alice(sandbox):
    with SandboxUser(sandbox) as user:
        yield user


def socket_of(kind, super_kind=None):
    """The catalogue's first socket of a kind."""
    wanted = super_kind or KINDS[kind].super_kind
    found = (each for each in STANDARD.sockets if each.kind == kind)
    return next(each for each in found if each.super_kind == wanted)


def item(user, **values):
    """A new archive item and the reply to a PATCH of its values."""
    (archive,) = user.tell("archives/?slug=ct-archive")["results"]
    path = f"archives/items/{user.make('archives/items/', {'archive': archive['api_url']})['pk']}/"
    given = [{"interface": slug, **source} for slug, source in values.items()]
    return path, user.call("PATCH", path, {"values": given})


def filled(user, slug, source):
    """The value of a new item's socket, None if none came."""
    path, reply = item(user, **{slug: source})
    assert reply.status_code == 200, reply.text
    return next(iter(user.tell(path)["values"]), None)


def test_every_kind_of_the_platform_has_a_socket(alice):
    """All display strings are there, each with the super-kind and the file name of its kind."""
    rows = alice.tell("components/interfaces/?limit=1000")["results"]
    assert {row["kind"] for row in rows} == set(KINDS)
    assert len(KINDS) == 40
    for row in rows:
        path, kind = row["relative_path"], KINDS[row["kind"]]
        assert path.endswith(kind.suffix) if kind.suffix else path.startswith("images/") or not path
        assert row["super_kind"] in {kind.super_kind, "File" if kind.holds_json else ""}
    for key in ("pk", "slug", "title", "relative_path"):
        assert len({row[key] for row in rows}) == len(rows)


def test_segments_of_a_socket_are_told(alice):
    """A segmentation may say what its voxels mean."""
    (row,) = alice.tell("components/interfaces/?slug=lung-segmentation")["results"]
    assert row["overlay_segments"] == [
        {"name": "left", "visible": True, "voxel_value": 1},
        {"name": "right", "visible": True, "voxel_value": 2},
    ]


@pytest.mark.parametrize("kind", GOOD)
def test_value_of_its_kind_is_taken(alice, kind):
    """A value that fits comes back as it was sent."""
    slug = socket_of(kind, "Value").slug
    assert filled(alice, slug, {"value": GOOD[kind]})["value"] == GOOD[kind]


@pytest.mark.parametrize(("kind", "value", "problem"), BAD)
def test_value_of_another_shape_is_refused_at_once(alice, kind, value, problem):
    """A value that does not fit is a 400 that tells where."""
    _, reply = item(alice, **{socket_of(kind, "Value").slug: {"value": value}})
    message = f"JSON does not fulfill schema: instance{problem}"
    assert (reply.status_code, reply.json()) == (400, {"values": [{"__all__": [message]}]})


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.super_kind == "Value"])
def test_null_is_no_value(alice, kind):
    """The refusal names the kind by its code."""
    _, reply = item(alice, **{socket_of(kind.name).slug: {"value": None}})
    problem = f"value is required for interface kind {kind.code}"
    assert reply.json() == {"values": [{"non_field_errors": [problem]}]}


@pytest.mark.parametrize("kind", SEVERAL)
def test_list_of_annotations_is_a_file(alice, kind):
    """Several annotations go as a JSON file, which is kept byte for byte."""
    slug, content = socket_of(kind).slug, json.dumps(SEVERAL[kind], indent=3).encode()
    upload = alice.upload(content, "list.json")
    value = filled(alice, slug, {"user_upload": upload})
    assert alice.download(value["file"]).content == content
    assert alice.call("GET", upload).status_code == 404


@pytest.mark.parametrize(
    "content", [b"{nope", json.dumps(POINT).encode(), b"[]"], ids=["no json", "single", "list"]
)
def test_wrong_json_in_a_file_is_never_told(alice, content):
    """The case stays without the value, and the upload stays."""
    upload = alice.upload(content, "points.json")
    assert filled(alice, "lesion-centres", {"user_upload": upload}) is None
    assert alice.tell(upload)["status"] == "Completed"


BIOM = b"\x89HDF\r\n\x1a\n" + bytes(8) + b"observation\0sample\0"


@pytest.mark.parametrize(
    ("kind", "content", "taken"),
    [
        ("Newick tree-format file", b"(A:0.1,B:0.2,(C:0.3,D:0.4)E:0.5)F;", True),
        ("Newick tree-format file", b"('a (b':1,[c)]d)e;", True),
        ("Newick tree-format file", b"((A,B);", False),
        ("Newick tree-format file", b"A,B);", False),
        ("Newick tree-format file", b" \n", False),
        ("Newick tree-format file", b"\xff\xfe(", False),
        ("BIOM format", BIOM, True),
        ("BIOM format", BIOM[:16], False),
        ("BIOM format", b'{"format": "Biological Observation Matrix 1.0.0"}', False),
        *(
            (kind, b"just a text", True)
            for kind in (
                "PDF file",
                "SQREG file",
                "Thumbnail jpg",
                "Thumbnail png",
                "OBJ file",
                "MP4 file",
                "CSV file",
                "ZIP file",
            )
        ),
    ],
)
def test_files_are_looked_into_by_kind(alice, kind, content, taken):
    """Trees and tables are parsed; of any other file nobody asks what is in it."""
    value = filled(alice, socket_of(kind).slug, {"user_upload": alice.upload(content, "x.txt")})
    assert (value is not None) == taken
    if taken:
        assert alice.download(value["file"]).content == content


@pytest.mark.parametrize("source", [{"value": {}}, {"user_uploads": []}])
def test_file_socket_takes_one_upload_only(alice, source):
    """A value, and several uploads, are refused."""
    _, reply = item(alice, **{"raw-data": source})
    problem = "user_upload or file is required for interface kind ZIP"
    assert reply.json() == {"values": [{"non_field_errors": [problem]}]}


def test_lungs_are_segmented_and_counted(alice):
    """Voxels between -950 and -400 are marked, and how many they are."""
    source = {"user_uploads": [alice.upload(mha(-1000, -950, -700, -400, -399, 40))]}
    job = alice.job(alice.start("segment-lungs", ct_image=source))
    outputs = {each["socket"]["slug"]: each for each in job["outputs"]}
    assert outputs["voxel-count"]["value"] == 3
    mask = alice.tell(outputs["segmentation"]["image"])
    content = alice.download(mask["files"][0]["file"]).content
    assert (mask["shape"], b"MET_UCHAR" in content) == ([1, 1, 6], True)


@pytest.mark.parametrize("with_mask", [False, True])
def test_mask_is_optional(alice, with_mask):
    """An algorithm of two interfaces runs with a mask and without."""
    inputs = {"ct_image": {"user_uploads": [alice.upload(mha(1))]}}
    if with_mask:
        inputs["segmentation"] = {"user_uploads": [alice.upload(mha(0))]}
    job = alice.job(alice.start("optional-mask", **inputs))
    assert (job["status"], len(job["inputs"])) == ("Succeeded", 1 + with_mask)


def imported(user, slug, content):
    """The session of an import into an item's socket, and the value that came of it."""
    session = user.session(user.upload(content))["api_url"]
    value = filled(user, slug, {"upload_session": session})
    return user.tell(session), value


def field(*size, channels=1):
    voxels = channels
    for number in size:
        voxels *= number
    head = f"NDims = {len(size)}\nDimSize = {' '.join(map(str, size))}\nElementType = MET_FLOAT\n"
    more = f"ElementNumberOfChannels = {channels}\nElementDataFile = LOCAL\n"
    return (head + more).encode() + bytes(4 * voxels)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (field(2, 2, 2), "Deformation and displacement must be 4D images"),
        (
            field(2, 2, 2, channels=3),
            "Deformation and displacement fields cannot have a color component",
        ),
        (
            field(2, 2, 2, 2),
            "Deformation and displacement field's 4th dimension must be a 3-component vector",
        ),
    ],
    ids=["3D", "colour", "two components"],
)
def test_field_of_another_shape_fails_after_its_import(alice, content, problem):
    """A displacement field has four axes, the first of three; else the session fails in the end."""
    session, value = imported(alice, "displacement-field", content)
    reason = f"Image validation for socket Displacement field failed with error: {problem}."
    assert (session["status"], session["error_message"], value) == ("Failed", reason, None)
    assert len(session["image_set"]) == 1


def test_field_of_three_components_is_taken(alice):
    """A displacement field of the right shape."""
    session, value = imported(alice, "displacement-field", field(4, 2, 2, 3))
    assert session["status"] == "Succeeded"
    assert alice.tell(value["image"])["shape"] == [3, 2, 2, 4]


UNDETERMINED = "Image segments could not be determined, ensure the voxel values are integers"


def mask(*voxels):
    return mha(*voxels, element="MET_UCHAR", code="B")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (mask(0, 1, 2, 3), "as it contains the voxel values: {3}."),
        (mask(*range(65)), UNDETERMINED),
        (mha(0, 1), UNDETERMINED),
        (mha(0.0, 1.0, element="MET_FLOAT", code="f"), UNDETERMINED),
    ],
    ids=["outside", "too many", "16 bits", "no integers"],
)
def test_segments_that_are_not_allowed_fail_after_the_import(sandbox, alice, content, problem):
    """The session succeeds, then fails with the reason; the case has no value."""
    sandbox.configure(import_seconds=1000)
    session = alice.session(alice.upload(content))["api_url"]
    assert filled(alice, "lung-segmentation", {"upload_session": session}) is None
    sandbox.advance(1100)
    assert alice.tell(session)["status"] == "Succeeded"
    sandbox.advance(110)
    ended = alice.tell(session)
    assert ended["status"] == "Failed"
    assert problem in ended["error_message"]


def test_segments_that_are_allowed_pass(alice):
    """Declared values and the background are fine; a socket that declares none takes anything."""
    value = imported(alice, "lung-segmentation", mask(2, 1, 0))[1]
    assert alice.tell(value["image"])["segments"] == [0, 1, 2]
    value = imported(alice, "segmentation", mha(*range(99)))[1]
    assert alice.tell(value["image"])["segments"] is None


@pytest.mark.parametrize(("voxels", "segments"), [([0, 1] * 3, [1, 2, 3]), ([0, 2] * 3, None)])
def test_fourth_axis_numbers_the_segments(alice, voxels, segments):
    """A segmentation of four axes has a segment a volume, of zeros and ones only."""
    content = mask(*voxels).replace(b"NDims = 3", b"NDims = 4")
    content = content.replace(b"6 1 1", b"2 1 1 3").replace(b"1 2 3", b"1 2 3 1")
    value = imported(alice, "segmentation", content)[1]
    assert alice.tell(value["image"])["segments"] == segments


def test_existing_image_that_does_not_fit_is_refused_at_once(alice):
    """An image that is there already is looked at before the answer."""
    image = imported(alice, "segmentation", mask(7))[1]["image"]
    _, reply = item(alice, **{"lung-segmentation": {"image": image}})
    (problem,) = reply.json()["values"][0]["__all__"]
    assert reply.status_code == 400
    assert problem.endswith("as it contains the voxel values: {7}.")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (json.dumps(SEVERAL["Multiple points"]).encode(), "Succeeded"),
        (b"{}", "Cancelled"),
        (b"{", "Validating inputs"),
    ],
    ids=["fits", "wrong shape", "no json"],
)
def test_file_that_does_not_fit_cancels_its_job(tmp_path, content, status):
    """JSON of another shape ends a job as Cancelled; what is no JSON hangs it."""
    points = socket_of("Multiple points")
    takes_points = Algorithm("takes-points", (Interface((points,), (points,)),))
    catalogue = Catalogue(STANDARD.sockets, (takes_points,))
    with Sandbox(tmp_path, catalogue=catalogue) as sandbox, SandboxUser(sandbox) as user:
        upload = user.upload(content, "points.json")
        pk = user.start("takes-points", **{points.slug: {"user_upload": upload}})
        assert user.job(pk)["status"] == status
