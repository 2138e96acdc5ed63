"""What every kind of target promises, in the words of each: one class a kind.

The tests of deaths, of lost replies and of the machine run for every class in `TARGETS`. A new
kind is held to all of them by one class more: what is dropped for it (`variants`), what its cases
become on the platform (`made`), and what they then have to hold (`check_content`).
"""

import json
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from gcwatch.sandbox import Sandbox, Settings
from support.builders import (
    PATIENTS,
    Site,
    check_history,
    check_nothing_half_done,
    check_results,
    mha,
    series,
    sha256,
    voxels,
)
from support.sandbox_user import SandboxUser

COMMITS = ("before_commit", "after_commit")
ALL_DEATHS = (*COMMITS, "platform_write", "file_change")
CUTS = ("cut_before", "cut_after")
ALL_CUTS = (*CUTS, "status")
CLINICAL = b'{"age" :  61,\r\n "sex":"F"}'
LIMIT = {"limit.json": b"2.5"}
THREE_SLICES = dict([*series().items()][:3])
TWO_SERIES = {f"ct/{name}": content for name, content in series().items()} | {
    "mr/4919": (PATIENTS / "98892003" / "MR1" / "4919").read_bytes()
}
SERIES_OF_TWO = (
    "p1/1.3.6.1.4.1.5962.1.1.0.0.0.1194734704.16302.0.6.97164721",
    "p1/1.3.6.1.4.1.5962.1.1.0.0.0.1196533885.18148.0.134.3ffa2092",
)
IMAGE = {"image.mha": mha(1, 2, 3, 4)}
THRESHOLD = {"threshold": {"json": "limit.json"}}


@dataclass(frozen=True)
class Variant:
    """One sort of case: what is dropped, where it goes, how the platform is, what comes of it.

    `results` names the folders that come of it below the outbox; without it, the dropped ones.
    `holds` tells of a row of the sandbox's state and a result folder whether they are right.
    `before` puts on the platform what is there already, and returns what the dropped folder tells
    of it; `beside` are files beside the config; every upload that is complete holds `sent`. It is
    put through these `deaths`, and each of its calls in turn through these `cuts`. `alone`: nothing
    else works beside its cases, so each kind of event can be a point of death. (A zip is written
    while it is sent: who dies of the one has done the other.)
    """

    files: Mapping[str, bytes]
    route: Mapping[str, Any] = field(default_factory=dict)
    platform: Mapping[str, Any] = field(default_factory=dict)
    folders: tuple[str, ...] = ("p1",)
    results: tuple[str, ...] = ()
    holds: Callable[..., bool] = lambda _row, _folder: True
    deaths: tuple[str, ...] = ("before_commit", "platform_write")
    before: Callable[[Sandbox], Mapping[str, bytes]] = lambda _sandbox: {}
    beside: Mapping[str, bytes] = field(default_factory=dict)
    sent: bytes = b""
    cuts: tuple[str, ...] = ()
    alone: bool = True

    @property
    def patients(self):
        """The dropped folders whose series are the cases."""
        return frozenset(self.folders) if self.results else frozenset()


class Target:
    """What all kinds have in common.

    Attributes:
        kind: As a route names it.
        slug: Of the target.
        noun: What cases become, as the sandbox's state counts them.
        link: Where a receipt has its pk.
        create: The calls that make one and fill it, as faults name them.
        variants: What is put through every death.
        plain: The keys of a route that takes one image.
    """

    kind: ClassVar[str]
    slug: ClassVar[str]
    noun: ClassVar[str]
    link: ClassVar[str]
    writes: ClassVar[tuple[tuple[str, str], ...]]
    variants: ClassVar[Mapping[str, Variant]]
    plain: ClassVar[Mapping[str, Any]]

    @contextmanager
    def dropped(self, folder, variant, journal=None):
        """A sandbox, and a site whose inbox holds the folders of a variant; *journal*: see Site."""
        with Sandbox(folder / "sandbox", Settings(**variant.platform)) as sandbox:
            (folder / "site").mkdir(parents=True, exist_ok=True)
            for name, content in variant.beside.items():
                (folder / "site" / name).write_bytes(content)
            route = {"duplicates": "hold", **self.plain, **variant.route}
            site = Site(folder / "site", sandbox, journal=journal, **route)
            told = variant.before(sandbox)
            for name in variant.folders:
                site.drop(name, {**variant.files, **told})
            yield site

    def made(self, sandbox):
        """What cases have become on the platform."""
        raise NotImplementedError

    def check_content(self, site, name, row):
        """What a folder became holds what the folder held, and its result is whole."""
        raise NotImplementedError

    def check_one_each(self, site, variant):
        """At the end: one thing and one whole result for each folder, and nothing left over."""
        made, folders = self.made(site.sandbox), sorted(variant.results or variant.folders)
        assert len(made) == len(folders), f"{len(made)} {self.noun} for {len(folders)} folders"
        assert site.results() == folders, f"{site.results()} delivered of {folders}"
        check_nothing_half_done(site.outbox, variant.patients)
        rows = {row["pk"]: row for row in made}
        linked = {name: rows.pop(site.receipt(name)["target"][self.link]) for name in folders}
        assert not rows, f"{self.noun} of nobody"
        for name, row in linked.items():
            self.check_content(site, name, row)
            assert variant.holds(row, site.outbox / name), f"{name} became something else"
        with site.watch() as watch:
            check_history(watch)
            assert [case.ending for case in watch.journal.cases()] == ["delivered"] * len(folders)
        for upload in site.sandbox.platform_state.uploads.values():
            assert upload.status != "Completed" or variant.sent in _content_of(upload)
        assert not [*(site.state / "spool").glob("*")], "something is left in the spool"
        seen = {path.name for path in site.outbox.iterdir()}
        assert seen == set(variant.folders), "something is left in the outbox"
        for patient in variant.patients:
            found = {f"{patient}/{path.name}" for path in (site.outbox / patient).iterdir()}
            assert found <= set(folders), "something is left in a patient's folder"


# --- what is on the platform already --------------------------------------------------------------


def _image_there(sandbox):
    """Put an image on the platform; return the receipt that tells of it."""
    pk = sandbox.add_item("second-archive", "earlier", {"ct-image": ("ct.mha", mha(1, 2, 3, 4))})
    (item,) = (each for each in sandbox.state()["items"] if each["pk"] == pk)
    image = f"{sandbox.url}cases/images/{item['values'][0]['image']}/"
    receipt = {
        "target": {"platform": sandbox.url, "archive_item": pk},
        "inputs": [{"socket": "ct-image", "carrier": "image", "image": image}],
    }
    return {"gcwatch.json": json.dumps(receipt).encode()}


def _job_there(sandbox):
    """Put an image on the platform, and the job of exactly what is dropped."""
    told = _image_there(sandbox)
    (held,) = json.loads(told["gcwatch.json"])["inputs"]
    with SandboxUser(sandbox) as user:
        user.start("two-ways", ct_image={"image": held["image"]}, threshold={"value": 2.5})
    return told


def _item_there(sandbox):
    """Put an item into an archive, with all that an algorithm needs."""
    values = {"ct-image": ("ct.mha", mha(1, 2, 3, 4)), "threshold": 2.5}
    sandbox.add_item("second-archive", "p1", values)
    return {}


_FROM_ARCHIVE = {"inbox": None, "settle": None, "source": {"archive": "second-archive"}}
_USED_AGAIN = {"reuse": True, "inputs": {"ct-image": {"socket": "ct-image"}, **THRESHOLD}}


# --- jobs ----------------------------------------------------------------------------------------


def _same_voxels(_row, folder):
    (image,) = folder.glob("generic-medical-image/*.mha")
    return voxels(image.read_bytes()) == voxels(IMAGE["image.mha"])


def _two_above_two(_row, folder):
    return json.loads((folder / "voxel-count.json").read_bytes()) == 2


def _same_file(_row, folder):
    return (folder / "clinical-info-copy.json").read_bytes() == CLINICAL


def _doubled(_row, folder):
    return json.loads((folder / "score.json").read_bytes()) == 5.0


def _all_slices(row, _folder):
    (images,) = (value["instances"] for value in row["inputs"] if value["socket"] == "dicom-ct")
    return len(set(images)) == len(THREE_SLICES)


def _content_of(upload):
    return b"".join(upload.parts[number].path.read_bytes() for number in sorted(upload.parts))


class Algorithm(Target):
    """A case becomes one job."""

    kind, slug, noun, link = "algorithm", "copy-image", "jobs", "job"
    writes = (("POST", r"algorithms/jobs/$"),)
    plain: ClassVar = {}
    variants: ClassVar = {
        "image": Variant(IMAGE, holds=_same_voxels, deaths=ALL_DEATHS, cuts=ALL_CUTS),
        "series": Variant(
            series(), deaths=("before_commit", "platform_write", "file_change"), alone=False
        ),
        "pseudonym": Variant(
            THREE_SLICES,
            {"pseudonyms": "names.csv"},
            beside={"names.csv": b"folder,pseudonym\np1,A-0815\n"},
            sent=b"\x10\0\x20\0LO\6\0A-0815",
            deaths=("before_commit", "platform_write", "file_change"),
            alone=False,
        ),
        "two_series": Variant(
            TWO_SERIES,
            {"cases": "series", "integrity": "warn"},
            results=SERIES_OF_TWO,
            deaths=("before_commit", "platform_write", "file_change"),
        ),
        "image_and_value": Variant(
            {**IMAGE, **LIMIT},
            {"algorithm": "threshold", "inputs": {"ct-image": "*.mha", **THRESHOLD}},
            holds=_two_above_two,
        ),
        "two_images": Variant(
            {"ct.mha": mha(1, 2, 3, 4), "pet.mha": mha(5, 6, 7, 8)},
            {"algorithm": "two-images", "inputs": {"ct-image": "ct.mha", "pet-image": "pet.mha"}},
        ),
        "file": Variant(
            {"info.json": CLINICAL},
            {"algorithm": "file-only", "inputs": {"clinical-info": "*.json"}},
            holds=_same_file,
            cuts=CUTS,
        ),
        "value": Variant(
            LIMIT, {"algorithm": "values-only", "inputs": THRESHOLD}, holds=_doubled, cuts=CUTS
        ),
        "dicom_set": Variant(
            THREE_SLICES,
            {"algorithm": "dicom-in", "inputs": {"dicom-ct": "**"}},
            holds=_all_slices,
        ),
        "used_again": Variant(LIMIT, {"algorithm": "two-ways", **_USED_AGAIN}, before=_image_there),
        "computed_before": Variant(
            LIMIT,
            {"algorithm": "two-ways", **_USED_AGAIN},
            before=_job_there,
            deaths=COMMITS,
        ),
        "item_of_archive": Variant(
            {},
            {"algorithm": "two-ways", **_FROM_ARCHIVE},
            before=_item_there,
            deaths=("before_commit", "platform_write", "file_change"),
            alone=False,
        ),
        "without_sessions": Variant(
            IMAGE, platform={"sessions": False}, holds=_same_voxels, cuts=CUTS
        ),
        "slow_platform": Variant(
            IMAGE,
            platform={"import_seconds": 0.15, "job_seconds": 0.15},
            holds=_same_voxels,
            deaths=("platform_write",),
        ),
        "two_folders": Variant(
            IMAGE,
            {"duplicates": "send"},
            folders=("p1", "p2"),
            holds=_same_voxels,
            deaths=("platform_write",),
        ),
        "source_deleted": Variant(
            IMAGE, {"after": "delete"}, holds=_same_voxels, deaths=("file_change",)
        ),
        "source_moved": Variant(
            IMAGE, {"after": "move", "done": "done"}, holds=_same_voxels, deaths=("file_change",)
        ),
    }

    def made(self, sandbox):
        """All jobs."""
        return sandbox.state()["jobs"]

    def check_content(self, site, name, row):
        """The result has the bytes of the job's outputs."""
        assert row["status"] == "Succeeded"
        check_results(site.sandbox, site.outbox / name)


# --- display sets and archive items --------------------------------------------------------------


def held(row):
    """What a display set or item holds, by socket: a value, a digest, or how many instances."""
    return {value["socket"]: _content(value) for value in row["values"]}


def _content(value):
    if value["instances"]:
        return len(set(value["instances"]))
    return value["voxels"] or value["sha256"] or value["value"]


def _holds(**content):
    wanted = {socket.replace("_", "-"): each for socket, each in content.items()}
    return lambda row, _folder: held(row) == wanted


CT = sha256(voxels(IMAGE["image.mha"]))
_CT_ALONE = _holds(ct_image=CT)
_ALL = {"ct-image": "*.mha", "clinical-info": "info.json", **THRESHOLD}
_ITEMS = {
    "image": Variant(IMAGE, holds=_CT_ALONE, deaths=ALL_DEATHS, cuts=ALL_CUTS),
    "image_file_value": Variant(
        {**IMAGE, **LIMIT, "info.json": CLINICAL},
        {"inputs": _ALL},
        holds=_holds(ct_image=CT, clinical_info=sha256(CLINICAL), threshold=2.5),
    ),
    "series": Variant(
        series(), {"inputs": {"ct-image": "**"}}, deaths=("platform_write",), alone=False
    ),
    "file_and_value": Variant(
        {**LIMIT, "info.json": CLINICAL},
        {"inputs": {"clinical-info": "info.json", **THRESHOLD}},
        holds=_holds(clinical_info=sha256(CLINICAL), threshold=2.5),
        cuts=CUTS,
    ),
    "dicom_set": Variant(
        THREE_SLICES, {"inputs": {"dicom-ct": "**"}}, holds=_holds(dicom_ct=len(THREE_SLICES))
    ),
    "used_again": Variant(
        LIMIT, _USED_AGAIN, before=_image_there, holds=_holds(ct_image=CT, threshold=2.5)
    ),
    "without_sessions": Variant(
        {**IMAGE, "info.json": CLINICAL},
        {"inputs": {"ct-image": "*.mha", "clinical-info": "info.json"}},
        platform={"sessions": False},
        holds=_holds(ct_image=CT, clinical_info=sha256(CLINICAL)),
        cuts=CUTS,
    ),
    "slow_platform": Variant(
        IMAGE, platform={"import_seconds": 0.15}, holds=_CT_ALONE, deaths=("platform_write",)
    ),
    "slow_without_sessions": Variant(
        IMAGE,
        platform={"import_seconds": 0.15, "sessions": False},
        holds=_CT_ALONE,
        deaths=("platform_write",),
    ),
    "race": Variant(IMAGE, platform={"race": True}, holds=_CT_ALONE, deaths=("platform_write",)),
    "two_folders": Variant(
        IMAGE,
        {"duplicates": "send"},
        folders=("p1", "p2"),
        holds=_CT_ALONE,
        deaths=("platform_write",),
    ),
}


class Items(Target):
    """A case becomes one item of a place, made empty and then filled."""

    def check_content(self, site, name, row):
        """The item is titled by its case's key, and the result is the receipt alone."""
        receipt = site.receipt(name)
        assert row["title"] == receipt["key"] == receipt["target"]["title"], "another title"
        assert [path.name for path in (site.outbox / name).iterdir()] == ["gcwatch.json"]


class ReaderStudy(Items):
    """A case becomes one display set."""

    variants: ClassVar = _ITEMS

    kind, slug, noun, link = "reader_study", "lung-study", "display_sets", "display_set"
    writes = (
        ("POST", r"reader-studies/display-sets/$"),
        ("PATCH", r"reader-studies/display-sets/.+/$"),
    )
    plain: ClassVar = {
        "algorithm": None,
        "reader_study": "lung-study",
        "inputs": {"ct-image": "*.mha"},
    }

    def made(self, sandbox):
        """All display sets of the study."""
        rows = sandbox.state()["display_sets"]
        return [row for row in rows if row["reader_study"] == self.slug]


class Archive(Items):
    """A case becomes one archive item, by the very protocol of display sets."""

    variants: ClassVar = {
        name: replace(each, deaths=each.deaths if name == "image" else (), cuts=each.cuts[:1])
        for name, each in _ITEMS.items()
    }

    kind, slug, noun, link = "archive", "ct-archive", "items", "archive_item"
    writes = (("POST", r"archives/items/$"), ("PATCH", r"archives/items/.+/$"))
    plain: ClassVar = {
        "algorithm": None,
        "archive": "ct-archive",
        "inputs": {"ct-image": "*.mha"},
    }

    def made(self, sandbox):
        """All items of the archive."""
        return [row for row in sandbox.state()["items"] if row["archive"] == self.slug]


TARGETS: Mapping[str, Target] = {each.kind: each() for each in (Algorithm, ReaderStudy, Archive)}
