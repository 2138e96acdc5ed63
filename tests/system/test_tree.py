"""There and back: an archive mirrored, sent to another archive, and mirrored again is the same.

The platform writes image files anew, so images are held to their voxels; all else to its bytes.
"""

import json
import struct
from pathlib import PurePosixPath

import pytest
from support.builders import PATIENTS, Site, mha, sha256, voxels
from support.sandbox_user import zipped
from support.socket_values import GOOD, SEVERAL
from support.whole_files import WHOLE

from gcwatch.sandbox import STANDARD
from gcwatch.sandbox.content.socket_kinds import DICOM_SET, DISPLACEMENT

FIRST, SECOND = "ct-archive", "second-archive"
SERIES = {path.name: path.read_bytes() for path in (PATIENTS / "98892001" / "CT5N").iterdir()}
FIELD = (
    b"ObjectType = Image\nNDims = 4\nDimSize = 2 1 1 3\nElementType = MET_UCHAR\n"
    b"ElementDataFile = LOCAL\n" + bytes(range(6))
)
MASK = mha(0, 1, 2, 1, code="B", element="MET_UCHAR")
KINDS = {
    "Image": mha(-500, 7, 3000),
    "Heat Map": mha(0.5, -2, code="f", element="MET_FLOAT"),
    "Segmentation": MASK,
    DISPLACEMENT: FIELD,
    DICOM_SET: ("series", zipped(SERIES)),
    "CSV file": b"a;b\r\n1;2\r\n",
}


def tiff():
    """Eight pixels in one strip, with a resolution."""
    tags = {256: 4, 257: 2, 258: 8, 259: 1, 262: 1, 273: 176, 277: 1, 278: 2, 279: 8}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    entries += [struct.pack("<HHII", tag, 5, 1, 8) for tag in (282, 283)]
    entries.append(struct.pack("<HHII", 296, 4, 1, 3))  # without a unit no size is known
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    head = b"II*\0" + struct.pack("<I", 16) + struct.pack("<II", 10, 1) + directory
    return head.ljust(tags[273], b"\0") + bytes(range(8))


BY_SUFFIX = {PurePosixPath(name).suffix: content for name, content in WHOLE.items()}


def content(socket):
    """Something that a socket of this kind takes, written as nobody else would write it."""
    if socket.super_kind == "Value":
        return GOOD[socket.kind]
    if socket.kind in KINDS:
        return KINDS[socket.kind]
    if socket.holds_json:
        text = json.dumps(SEVERAL.get(socket.kind, GOOD.get(socket.kind)), indent=7)
        return f" {text}\n\n".encode()
    return BY_SUFFIX[PurePosixPath(socket.relative_path).suffix]


ITEMS = {
    "everything": {socket.slug: content(socket) for socket in STANDARD.sockets},
    "one of each": {
        slug: content(STANDARD.socket(slug)) for slug in ("ct-image", "threshold", "letter")
    },
    "a slide": {"generic-medical-image": ("slide.tif", tiff())},
    "p 17": {"urgent": True, "comment": "a\u00e4\U0001fac1\n"},
}


def source(socket):
    """Where a mirror's folder has what a socket held."""
    path = socket.relative_path or socket.slug
    if socket.super_kind == "Value":
        return {"json": path, "optional": True}
    return {"files": f"{path}/*" if socket.super_kind == "Image" else path, "optional": True}


class Circle(Site):
    """Two mirrors, and a route from the first one's folder to the second one's archive."""

    def configure(self, **route):
        route = {
            "algorithm": None,
            "archive": SECOND,
            "inbox": "first",
            "names": "keep",
            "title": "{folder}",
            "deidentify": False,
            "inputs": {socket.slug: source(socket) for socket in STANDARD.sockets},
            **route,
        }
        super().configure(**route)
        lines = [self.file.read_text()]
        for name, archive in (("first", FIRST), ("second", SECOND)):
            (self.folder / name).mkdir(exist_ok=True)
            mirror = {"name": name, "archive": archive, "outbox": name}
            lines += ["[[mirror]]", *(f"{key} = {json.dumps(v)}" for key, v in mirror.items())]
        self.file.write_text("\n".join(lines))

    def go_round(self):
        """Mirror, send, mirror again; tell how many cases were delivered and failed."""
        outcome = self.run_once()
        with self.watch() as watch:
            watch.mirror("second")
        return outcome.delivered, outcome.failed

    def tree(self, name):
        """What a mirror holds: by item and socket, what the files of its value are."""
        items = (self.folder / name).glob("[!.]*/gcwatch.json")
        return {paper.parent.name: told(paper) for paper in items}

    def images(self, name):
        """The images that a mirror's receipts name, by item and socket."""
        papers = (self.folder / name).glob("[!.]*/gcwatch.json")
        return {
            (paper.parent.name, each["socket"]): each["url"]
            for paper in papers
            for each in json.loads(paper.read_bytes())["outputs"]
            if each["carrier"] == "image"
        }


def told(paper):
    outputs = json.loads(paper.read_bytes())["outputs"]
    return {each["socket"]: held(paper.parent, each) for each in outputs}


def held(folder, output):
    files = {each["path"]: (folder / each["path"]).read_bytes() for each in output["files"]}
    if output["carrier"] == "value":
        [text] = files.values()
        return json.loads(text)
    if output["carrier"] == "image" and all(path.endswith(".mha") for path in files):
        [image] = files.values()
        return sha256(voxels(image))
    return sorted(map(sha256, files.values()))


@pytest.fixture
def site(tmp_path, sandbox):
    for title, values in ITEMS.items():
        sandbox.add_item(FIRST, title, values)
    return Circle(tmp_path / "site", sandbox)


@pytest.mark.parametrize("reuse", [False, True])
def test_what_goes_round_comes_back_the_same(site, reuse):
    """The same items, sockets, values, bytes and voxels, whether images are sent or used again."""
    site.configure(reuse=reuse)
    assert site.go_round() == (len(ITEMS), 0)
    first, second = site.tree("first"), site.tree("second")
    assert set(first) == set(ITEMS)
    assert set(first["everything"]) == {socket.slug for socket in STANDARD.sockets}
    assert second == first
    there, back = site.images("first"), site.images("second")
    assert set(back.values()) & set(there.values()) == (set(there.values()) if reuse else set())


def test_the_first_mirror_holds_what_was_put_there(site):
    """Equality would be no news if both were wrong."""
    site.go_round()
    for title, values in ITEMS.items():
        here = site.tree("first")[title]
        for slug, value in values.items():
            assert here[slug] == expected(STANDARD.socket(slug), value), slug


def expected(socket, value):
    if socket.super_kind == "Value":
        return value
    if socket.kind == DICOM_SET:
        return sorted(map(sha256, SERIES.values()))
    if socket.super_kind == "File" or isinstance(value, tuple):
        return [sha256(value[1] if isinstance(value, tuple) else value)]
    return sha256(voxels(value))
