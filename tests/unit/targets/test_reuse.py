"""Images that are on the platform already are used again, and only where that is certain."""

import json
import shutil

import pytest
from support.builders import Site, mha, sha256, voxels
from support.sandbox_user import patient, zipped

from gcwatch import config
from gcwatch.commands import plan

ARCHIVE = "ct-archive"
BY_GLOB = {"ct-image": "images/ct-image/*"}
BY_SOCKET = {"ct-image": {"socket": "ct-image"}}
MASK = mha(0, 1, 1, 0, code="B", element="MET_UCHAR")


class Chained(Site):
    """A site whose inbox is a mirror of an archive's items."""

    def configure(self, **route):
        super().configure(**{"algorithm": "segment-lungs", "reuse": True, **route})
        (self.folder / "mirror").mkdir(exist_ok=True)
        mirror = {"name": "cts", "archive": ARCHIVE, "outbox": "mirror"}
        lines = [f"{key} = {json.dumps(value)}" for key, value in mirror.items()]
        self.file.write_text("\n".join([self.file.read_text(), "[[mirror]]", *lines]))

    def add(self, title="p1", **values):
        return self.sandbox.add_item(
            ARCHIVE, title, {slug.replace("_", "-"): value for slug, value in values.items()}
        )

    def bring(self, change=lambda _receipt: None):
        """Mirror the archive and hand what came to the route; `change` may alter receipts."""
        with self.watch() as watch:
            watch.mirror("cts")
        for folder in (self.folder / "mirror").glob("[!.]*"):
            paper = folder / "gcwatch.json"
            receipt = json.loads(paper.read_bytes())
            change(receipt)
            paper.write_text(json.dumps(receipt))
            shutil.copytree(folder, self.inbox / folder.name)

    def work(self):
        """Let the route work, and tell how many uploads it made."""
        self.sandbox.forget_calls()
        self.run_once()
        calls = self.sandbox.calls()
        return sum(c["path"].endswith("/uploads/") and c["method"] == "POST" for c in calls)

    def sent(self, socket="ct-image"):
        """What the one job got for a socket."""
        [job] = self.jobs()
        return next(each for each in job["inputs"] if each["socket"] == socket)

    def held(self, socket="ct-image"):
        """What the archive's items hold for a socket: images by pk."""
        values = [each for item in self.sandbox.state()["items"] for each in item["values"]]
        return [each["image"] for each in values if each["socket"] == socket]


@pytest.fixture
def site(tmp_path, sandbox):
    return Chained(tmp_path / "site", sandbox, inputs=BY_GLOB)


# --- it works ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inputs", [BY_GLOB, BY_SOCKET], ids=["glob", "socket"])
def test_a_mirrored_image_is_not_uploaded_again(site, inputs):
    """The job gets the archive's image itself, and the receipt tells so."""
    site.configure(inputs=inputs)
    site.add(ct_image=mha(-500, 0, 7))
    site.bring()
    assert site.work() == 0
    assert [site.sent()["image"]] == site.held()
    [entry] = site.receipt()["inputs"]
    assert entry["reused"] is True
    assert entry["image"].endswith(f"/{site.sent()['image']}/")


def test_without_reuse_the_bytes_are_sent(site):
    """The route has to ask for it."""
    site.configure(inputs=BY_GLOB, reuse=False)
    site.add(ct_image=mha(-500, 0, 7))
    site.bring()
    assert site.work() == 1
    assert [site.sent()["image"]] != site.held()


def test_a_whole_folder_is_its_one_image(site):
    """Values and files that came with the image do not hinder."""
    site.configure(algorithm="copy-image")
    site.add(ct_image=mha(), threshold=0.5, letter=b"%PDF-1", photo=b"\xff\xd8\xff")
    site.bring()
    assert site.work() == 0
    assert [site.sent("generic-medical-image")["image"]] == site.held()


def test_a_dicom_image_set_is_used_again(site):
    """An image of many files, all of which are here."""
    files = patient("98892003/MR700")
    site.configure(algorithm="dicom-in", inputs={"dicom-ct": "images/dicom-ct/*"})
    site.add(dicom_ct=("set", zipped(files)))
    site.bring()
    assert site.work() == 0
    assert [site.sent("dicom-ct")["image"]] == site.held("dicom-ct")


def test_a_series_of_a_mirrored_folder_is_used_again(site):
    """Where each series is a case, its files are still those of the folder's receipt."""
    site.configure(cases="series", algorithm="dicom-in", inputs={"dicom-ct": "**"})
    site.add(dicom_ct=("set", zipped(patient("98892001/CT5N"))), ct_image=mha())
    site.bring()
    assert site.work() == 0
    assert [site.sent("dicom-ct")["image"]] == site.held("dicom-ct")


@pytest.mark.parametrize(
    "inputs",
    [
        {"ct-image": {"socket": "ct-image"}, "segmentation": {"socket": "segmentation"}},
        {"ct-image": {"socket": "ct-image"}, "segmentation": "images/segmentation/*"},
    ],
)
@pytest.mark.parametrize("kind", ["reader_study", "archive"])
def test_case_and_segmentation_stand_side_by_side(site, kind, inputs):
    """A result's folder names what was sent and what came back: both go into one item."""
    site.add(ct_image=mha(-500, 0, 7))
    site.bring()
    site.work()
    [job] = site.jobs()
    place = {"reader_study": "lung-study", "archive": "second-archive"}[kind]
    last = Chained(site.folder / "last", site.sandbox)
    last.configure(algorithm=None, **{kind: place}, inputs=inputs)
    shutil.copytree(site.outbox / "p1", last.inbox / "p1")
    assert last.work() == 0
    state = site.sandbox.state()
    made = [each for each in state["display_sets"] + state["items"] if each.get(kind) == place]
    [item] = [each for each in made if each["title"] != "p1"]
    got = {each["socket"]: each["image"] for each in item["values"]}
    outputs = {each["socket"]: each["image"] for each in job["outputs"]}
    assert got == {"ct-image": site.held()[0], "segmentation": outputs["segmentation"]}


def test_a_plan_tells_what_is_there_already(site):
    """The dry run knows it, too."""
    site.add(ct_image=mha())
    site.bring()
    [route] = plan.plan(config.load(site.file))
    [folder] = route.folders
    assert (folder.verdict, folder.parcels[0].is_reused) == ("send", True)


def test_a_failed_job_is_retried_with_the_bytes(site):
    """The platform refuses the same images again, even after a failure; so they are sent."""
    site.configure(algorithm="always-fails")
    site.add(ct_image=mha())
    site.bring()
    assert site.work() == 0
    with site.watch() as watch:
        watch.retry(watch.find("lobes/p1"))
    assert site.work() == 1
    assert len(site.jobs()) == 2
    assert site.case().failure.code == "job_failed"


# --- what is not certain is sent as it is here ----------------------------------------------------


def uploaded(site):
    """The bytes went out: the job's image is none that was there before."""
    before = site.held()
    assert site.work() == 1
    assert site.sent()["image"] not in before
    return site.sent()


def test_a_changed_file_is_sent(site):
    """Somebody mended the image: the new bytes count."""
    site.add(ct_image=mha(1, 2, 3))
    site.bring()
    [image] = site.inbox.rglob("*.mha")
    image.write_bytes(mha(4, 5, 6))
    assert uploaded(site)["voxels"] == sha256(voxels(mha(4, 5, 6)))


def test_a_file_that_was_added_is_no_part_of_the_image(site):
    """What the receipt does not know is looked at as anything that is dropped."""
    site.configure(algorithm="copy-image")
    site.add(ct_image=mha())
    site.bring()
    (site.inbox / "p1" / "more.mha").write_bytes(mha(5, 6))
    site.work()
    assert site.case().failure.code == "several_images"


@pytest.mark.parametrize(
    "home", ["https://grand-challenge.org/api/v1/", "http://[", "", None, ["x"], 5]
)
def test_a_receipt_of_another_platform_is_not_believed(site, home):
    """Its images have the same form of address, and are not there."""
    site.add(ct_image=mha())
    site.bring(lambda receipt: receipt["target"].update(platform=home))
    uploaded(site)


def test_an_image_that_is_no_longer_shown_is_sent(site):
    """The item left the archive, and its image with it."""
    site.add(ct_image=mha())
    site.bring()
    site.sandbox.remove_item(ARCHIVE, "p1")
    uploaded(site)


def test_several_images_are_not_one(site):
    """A pattern that means two images of a receipt is refused as always."""
    site.configure(algorithm="copy-image")
    site.add(ct_image=mha(1), pet_image=mha(2))
    site.bring()
    assert site.work() == 0
    assert site.case().failure.code == "several_images"


def test_a_part_of_an_image_is_not_the_image(site):
    """Whoever takes slices away means what is left."""
    site.configure(algorithm="dicom-in", inputs={"dicom-ct": "images/dicom-ct/*"})
    site.add(dicom_ct=("set", zipped(patient("98892003/MR700"))))
    site.bring()
    first, *_ = sorted((site.inbox / "p1").rglob("*.dcm"))
    first.unlink()
    assert site.work() == len(patient("98892003/MR700")) - 1
    assert site.sent("dicom-ct")["image"] not in site.held("dicom-ct")


def test_a_dicom_image_set_is_not_used_as_an_image(site):
    """An algorithm that reads MetaImage could not open it; sent, it becomes one."""
    site.configure(inputs={"ct-image": "images/dicom-ct/*"})
    site.add(dicom_ct=("set", zipped(patient("98892001/CT5N"))))
    site.bring()
    assert site.work() == 1
    assert site.sent()["instances"] == []
    assert site.case().ending == "delivered"


# --- a receipt is a hint, never a proof -----------------------------------------------------------


def swap(receipt, other):
    """Let a receipt name another image that the platform shows."""
    [entry] = receipt["outputs"]
    start, _, _ = entry["url"].rstrip("/").rpartition("/")
    entry["url"] = f"{start}/{other}/"


def test_another_patients_image_is_never_taken(site):
    """The address alone proves nothing: the files are named after the image that they were."""
    site.add("p1", ct_image=mha(1, 1))
    site.add("other", ct_image=mha(2, 2))
    _, other = site.held()
    site.bring(lambda receipt: swap(receipt, other) if receipt["folder"] == "p1" else None)
    shutil.rmtree(site.inbox / "other")
    assert uploaded(site)["voxels"] == sha256(voxels(mha(1, 1)))


def test_a_forged_receipt_with_the_names_of_another_image_is_not_believed(site):
    """Names can be forged as well; the content of what is on the platform can't."""
    site.add("p1", ct_image=mha(1, 1))
    site.add("other", ct_image=mha(2, 2))
    mine, other = site.held()
    pk_of_mine, pk_of_other = (url.rstrip("/").rpartition("/")[2] for url in (mine, other))

    def forge(receipt):
        if receipt["folder"] == "p1":
            swap(receipt, pk_of_other)
            [file] = receipt["outputs"][0]["files"]
            file["path"] = file["path"].replace(pk_of_mine, pk_of_other)

    site.bring(forge)
    for path in [*(site.inbox / "p1").rglob(f"{pk_of_mine}*")]:
        path.rename(path.with_name(path.name.replace(pk_of_mine, pk_of_other)))
    shutil.rmtree(site.inbox / "other")
    assert uploaded(site)["voxels"] == sha256(voxels(mha(1, 1)))


def test_another_series_is_never_taken(site):
    """The instances of a DICOM image set tell which one it is."""
    site.configure(algorithm="dicom-in", inputs={"dicom-ct": "images/dicom-ct/*"})
    site.add("p1", dicom_ct=("one", zipped(patient("98892003/MR700"))))
    site.add("other", dicom_ct=("two", zipped(patient("98892001/CT5N"))))
    _, other = site.held("dicom-ct")
    site.bring(lambda receipt: swap(receipt, other) if receipt["folder"] == "p1" else None)
    shutil.rmtree(site.inbox / "other")
    assert site.work() == len(patient("98892003/MR700"))
    assert site.sent("dicom-ct")["image"] not in site.held("dicom-ct")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"nonsense",
        b'{"outputs": 5, "target": []}',
        b'{"outputs": [5, {"files": 7}, {"files": [8, {}]}], "target": {"platform": {}}}',
        b'{"inputs": {"socket": "ct-image"}, "outputs": {"a": 1}}',
        b"[" * 100_000,
    ],
)
def test_a_broken_receipt_does_no_harm(site, text):
    """Whatever stands in it, the folder is sent as any other."""
    site.add(ct_image=mha())
    site.bring()
    (site.inbox / "p1" / "gcwatch.json").write_bytes(text)
    uploaded(site)


@pytest.mark.parametrize("key", ["outputs", "inputs"])
@pytest.mark.parametrize(
    "odd",
    [
        5,
        True,
        "x",
        {"socket": "ct-image"},
        [5, {"files": 7}],
        [{"files": [8, {"path": []}]}],
        [{"carrier": ["image"]}],
    ],
)
def test_a_receipt_of_another_shape_does_no_harm(site, key, odd):
    """Its platform is the right one, and nothing else in it is as it should be."""
    site.add(ct_image=mha())
    site.bring(lambda receipt: receipt.update({"outputs": [], key: odd}))
    uploaded(site)


def test_a_value_is_the_one_that_was_fetched(site):
    """As an image: what the platform has must be what the receipt tells."""

    def forge(receipt):
        [value] = (each for each in receipt["outputs"] if each["socket"] == "threshold")
        value["files"][0]["sha256"] = "0" * 64

    inputs = {socket: {"socket": socket} for socket in ("ct-image", "threshold")}
    site.configure(algorithm="threshold", inputs=inputs)
    site.add(ct_image=mha(), threshold=0.5)
    site.bring()
    assert site.work() == 0
    assert site.sent("threshold")["value"] == 0.5
    shutil.rmtree(site.folder / "mirror" / "p1")
    site.add("p2", ct_image=mha(1), threshold=0.5)
    shutil.rmtree(site.inbox / "p1")
    site.bring(forge)
    site.run_once()
    assert "not the one that was fetched" in site.note("p2")
    assert len(site.jobs()) == 1


@pytest.mark.parametrize("inputs", [5, {"a": 1}, [7, {"socket": "ct-image", "carrier": "image"}]])
def test_a_receipt_of_another_shape_names_no_image(site, inputs):
    """Whoever means an image by its socket is told that there is none."""
    site.configure(inputs=BY_SOCKET)
    site.add(ct_image=mha())
    site.bring(lambda receipt: receipt.update(inputs=inputs, outputs={}, target=[]))
    assert "lists none" in refused(site)


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/api/v1/cases/images/x/",
        "../../secrets/",
        "http://[/cases/images/00000000-0000-0000-0000-000000000000/",
        "/api/v1/cases/images/00000000-0000-0000-0000-000000000000/?x=/",
        "",
        None,
        {"a": 1},
    ],
)
def test_an_address_that_is_no_image_is_not_asked_for(site, url):
    """Only an image's pk is ever taken from it."""
    site.add(ct_image=mha())
    site.bring(lambda receipt: receipt["outputs"][0].update(url=url))
    uploaded(site)
    assert not [call for call in site.sandbox.calls() if "secrets" in call["path"]]


def refused(site):
    """An image that is meant by its socket can't be had: the case fails, and nothing is sent."""
    assert site.work() == 0
    assert not site.jobs()
    assert site.case().failure.code == "no_such_image"
    return site.note()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda receipt: receipt["target"].update(platform="https://x.example/"), "on another"),
        (lambda receipt: receipt.clear(), "lists none"),
        (lambda receipt: receipt["outputs"][0].update(carrier="file"), "lists none"),
        (lambda receipt: receipt["target"].update(item="none"), "can't see it"),
        (lambda receipt: receipt["target"].update(item="../jobs"), "can't see it"),
        (lambda receipt: receipt["target"].update(item=7), "can't see it"),
    ],
)
def test_a_named_image_that_is_not_certain_is_refused(site, change, words):
    """There is nothing else that could be meant."""
    site.configure(inputs=BY_SOCKET)
    site.add(ct_image=mha())
    site.bring(change)
    assert words in refused(site)


def test_a_named_image_is_the_one_that_the_platform_has_there(site):
    """Another image's address in the receipt is not believed."""
    site.configure(inputs=BY_SOCKET)
    site.add("p1", ct_image=mha(1, 1))
    site.add("other", ct_image=mha(2, 2))
    _, other = site.held()
    site.bring(lambda receipt: swap(receipt, other) if receipt["folder"] == "p1" else None)
    shutil.rmtree(site.inbox / "other")
    assert "can't see it" in refused(site)


def test_a_named_image_that_was_mended_here_is_refused(site):
    """The platform has the old bytes; nobody would notice."""
    site.configure(inputs=BY_SOCKET)
    site.add(ct_image=mha())
    site.bring()
    [image] = site.inbox.rglob("*.mha")
    image.write_bytes(mha(4, 5, 6))
    assert "is not the one that was fetched" in refused(site)


def test_a_named_image_whose_item_is_gone_is_refused(site):
    """Removed on the platform since."""
    site.configure(inputs=BY_SOCKET)
    site.add(ct_image=mha())
    site.bring()
    site.sandbox.remove_item(ARCHIVE, "p1")
    assert "can't see it" in refused(site)


def test_a_named_dicom_image_set_is_no_image(site):
    """It is said before the platform takes what no algorithm can open."""
    site.configure(inputs={"ct-image": {"socket": "dicom-ct"}})
    site.add(dicom_ct=("set", zipped(patient("98892003/MR700"))))
    site.bring()
    assert "can't replace another kind of image" in refused(site)
