"""The examples of configs: each is right, and does what its first line says."""

import json
import re
from contextlib import closing

import pytest
from support.builders import FAST, PATIENTS, mha, sha256, voxels
from support.checkout import ROOT

from gcwatch import config
from gcwatch.api import Watch
from gcwatch.commands import check

EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.toml"))
CT = mha(-500, -1000, -700, 40)


def text_of(name):
    [found] = [each for each in EXAMPLES if each.stem == name]
    return found.read_text()


def hastened(text, sandbox):
    """An example with what is not its own: where the platform and the state are, and no waiting."""
    text = re.sub("(?m)^settle = .*$", "", text)
    settle = "" if "source =" in text else 'settle = "0s"\n'
    text = text.replace("[[route]]\n", f'[[route]]\n{settle}poll = "50ms"\n')
    place = f'state = "state"\n[platform]\nurl = "{sandbox.url}"\n'
    return text.replace("[platform]\n", place)


class Installed:
    """An example as a user has it: in a folder of its own, with a token and the folders named."""

    def __init__(self, folder, sandbox, name):
        self.folder = folder
        self.sandbox = sandbox
        token = folder / "token"
        token.touch(0o600)
        token.write_text(sandbox.token)
        self.file = folder / "gcwatch.toml"
        self.file.write_text(hastened(text_of(name), sandbox))
        for each in (*self.settings().routes, *self.settings().mirrors):
            each.outbox.mkdir(exist_ok=True)
        for route in self.settings().routes:
            route.inbox.mkdir(parents=True, exist_ok=True)

    def settings(self):
        return config.load(self.file)

    def once(self):
        """Work until nothing is left to do; tell how many cases were delivered, how many failed."""
        with closing(Watch(self.settings(), pace=FAST)) as watch:
            outcome = watch.run_once()
        return outcome.delivered, outcome.failed

    def drop(self, inbox, files, name="p1"):
        for relative, content in files.items():
            path = self.folder / inbox / name / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def uploads(self):
        """How many uploads were ever made."""
        calls = self.sandbox.calls()
        return sum(c["path"].endswith("/uploads/") and c["method"] == "POST" for c in calls)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_every_example_is_right(file):
    """It loads without a complaint, and is short enough to be read at one look."""
    settings = config.load(file)
    assert settings.routes or settings.mirrors
    assert len(file.read_text().splitlines()) < 50


def test_the_examples_are_the_tutorials():
    """One a job, the three chained, answers, DICOM as it comes, and images that are there."""
    names = [file.stem for file in EXAMPLES]
    assert names == ["algorithm", "answers", "chain", "dicom", "mirror", "source", "upload"]


@pytest.mark.parametrize("name", [file.stem for file in EXAMPLES])
def test_every_example_passes_its_check(tmp_path, sandbox, name):
    """Folders, token, slugs, sockets and rights: no cross."""
    site = Installed(tmp_path, sandbox, name)
    assert [each for each in check.check(site.settings()) if not each.is_fine] == []


def test_patients_go_to_a_reader_study(tmp_path, sandbox):
    """upload.toml: a series and a comment become a display set."""
    site = Installed(tmp_path, sandbox, "upload")
    series = {
        path.name + ".dcm": path.read_bytes() for path in (PATIENTS / "98892001/CT5N").iterdir()
    }
    site.drop("patients", {**series, "comment.json": b'"look at the left"'})
    assert site.once() == (1, 0)
    [case] = sandbox.state()["display_sets"]
    held = {each["socket"]: each for each in case["values"]}
    assert held["comment"]["value"] == "look at the left"
    assert held["ct-image"]["voxels"]


def test_an_archive_is_kept_in_a_folder(tmp_path, sandbox):
    """mirror.toml: one folder an item."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    site = Installed(tmp_path, sandbox, "mirror")
    site.once()
    [image] = (tmp_path / "cts" / "p1").rglob("*.mha")
    assert voxels(image.read_bytes()) == voxels(CT)


def test_answers_are_kept_in_a_folder(tmp_path, sandbox):
    """answers.toml: a table of what was answered."""
    sandbox.add_answer(sandbox.add_display_set("lung-study", "p1"), answer="a nodule")
    Installed(tmp_path, sandbox, "answers").once()
    assert b"a nodule" in (tmp_path / "answers" / "answers.csv").read_bytes()


def test_an_algorithm_is_run_over_patients(tmp_path, sandbox):
    """algorithm.toml: the outputs come back."""
    site = Installed(tmp_path, sandbox, "algorithm")
    site.drop("patients", {"ct.mha": CT})
    assert site.once() == (1, 0)
    result = tmp_path / "results" / "p1"
    assert json.loads((result / "voxel-count.json").read_bytes()) == 2
    [mask] = result.rglob("*.mha")
    assert voxels(mask.read_bytes()) == bytes([1, 0, 1, 0])


def test_an_algorithm_is_run_over_an_archive(tmp_path, sandbox):
    """source.toml: the outputs come here, and nothing is uploaded."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    site = Installed(tmp_path, sandbox, "source")
    assert site.once() == (1, 0)
    assert site.uploads() == 0
    assert json.loads((tmp_path / "results" / "p1" / "voxel-count.json").read_bytes()) == 2


def test_every_series_becomes_an_image_set(tmp_path, sandbox):
    """dicom.toml: a patient's two series, in folders of the scanner's, are two items."""
    site = Installed(tmp_path, sandbox, "dicom")
    series = [PATIENTS / "98892001" / name for name in ("CT2N", "CT5N")]
    files = [path for folder in series for path in sorted(folder.iterdir())]
    site.drop("patients", {f"{path.parent.name}/{path.name}": path.read_bytes() for path in files})
    assert site.once() == (2, 0)
    held = [each["values"] for each in sandbox.state()["items"]]
    counts = sorted(len(value["instances"]) for [value] in held)
    assert counts == sorted(len(list(folder.iterdir())) for folder in series)
    assert len(list((tmp_path / "receipts").rglob("gcwatch.json"))) == 2


def test_the_chain_runs_by_config_alone(tmp_path, sandbox):
    """chain.toml: archive, algorithm, reader study; nothing of the archive is uploaded again."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    sandbox.add_item("ct-archive", "p2", {"ct-image": mha(-800, 1, 2)})
    site = Installed(tmp_path, sandbox, "chain")
    assert site.once() == (4, 0)
    assert site.uploads() == 0
    state = sandbox.state()
    images = {each["title"]: each["values"][0]["image"] for each in state["items"]}
    made = {each["inputs"][0]["image"]: each["outputs"] for each in state["jobs"]}
    shown = [{v["socket"]: v["image"] for v in each["values"]} for each in state["display_sets"]]
    assert sorted(each["ct-image"] for each in shown) == sorted(images.values())
    for each in shown:
        outputs = {value["socket"]: value["image"] for value in made[each["ct-image"]]}
        assert each["segmentation"] == outputs["segmentation"]


def test_a_chained_run_leads_back_to_what_is_here(tmp_path, sandbox):
    """The last receipt names the images that the first folder holds."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    Installed(tmp_path, sandbox, "chain").once()
    receipts = [
        json.loads((tmp_path / folder / "p1" / "gcwatch.json").read_bytes())
        for folder in ("cts", "segmented", "receipts")
    ]
    first, middle, last = receipts
    sent = {each["socket"]: each for each in last["inputs"]}
    assert sent["ct-image"]["image"] == first["outputs"][0]["url"]
    [mask] = [each for each in middle["outputs"] if each["socket"] == "segmentation"]
    assert sent["segmentation"]["image"] == mask["url"]
    assert all(each["reused"] for each in sent.values())


def test_patients_dropped_into_the_chain_go_along(tmp_path, sandbox):
    """One from the archive, one by hand: both are read in the end, and only one was uploaded."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    site = Installed(tmp_path, sandbox, "chain")
    site.drop("cts", {"ct.mha": mha(-600, 5)}, name="p2")
    assert site.once() == (4, 0)
    assert site.uploads() == 1
    values = [each["values"] for each in sandbox.state()["display_sets"]]
    found = {value["voxels"] for each in values for value in each if value["socket"] == "ct-image"}
    assert found == {sha256(voxels(CT)), sha256(voxels(mha(-600, 5)))}


def test_a_second_run_of_the_chain_does_nothing(tmp_path, sandbox):
    """Mirrors and routes know what they did."""
    sandbox.add_item("ct-archive", "p1", {"ct-image": CT})
    site = Installed(tmp_path, sandbox, "chain")
    assert site.once() == (2, 0)
    assert site.once() == (0, 0)
    assert len(sandbox.state()["display_sets"]) == 1
