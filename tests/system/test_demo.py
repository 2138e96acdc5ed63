"""The demo, as `make demo` runs it: without a terminal, in half a minute, honest."""

import json
import re
import subprocess
import sys

import pytest

from gcwatch import demo

PROGRAM = [sys.executable, "-m", "gcwatch"]


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A demo that was kept, and what it printed."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    ended = subprocess.run(
        [*PROGRAM, "demo", "--keep", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended


def test_the_demo_shows_what_happened(kept):
    """The results as a tree, a receipt, and each refusal in words."""
    _, ended = kept
    for said in ("copy/out", "voxel-count.json", '"job_url"', "is not sent", "retry copy-"):
        assert said in ended.stdout
    for step in ("archive/chest-1/", "segmented/chest-1/", "reading/chest-1/"):
        assert re.search(rf"{step} +http://127.0.0.1:[0-9]+/", ended.stdout)
    assert "Every result is here with the right bytes" in ended.stdout


def test_the_demo_speaks_json_lines_on_a_pipe(kept):
    """The daemon's log is the daemon's log, in the demo too; no name is in it."""
    folder, ended = kept
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert sum(line["event"] == "case.delivered" for line in lines) == 6
    assert sum(line["event"] == "mirror.item_fetched" for line in lines) == 2
    # Two that speak at once may be written down in either order.
    assert sorted((folder / "log.jsonl").read_text().splitlines()) == sorted(
        ended.stderr.splitlines()
    )
    assert "doe-" not in ended.stderr
    assert "chest-" not in ended.stderr


def test_a_kept_demo_can_be_looked_at(kept):
    """Config, inboxes, outboxes, journal and log are there, and the commands work on them."""
    folder, _ = kept
    ended = subprocess.run(
        [*PROGRAM, "status", "--json", "--config", str(folder / "gcwatch.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout)["counts"] == {"delivered": 6, "failed": 5}


def test_a_second_demo_in_the_same_folder_says_why_not(kept):
    """Its folders were sent; gcwatch never sends a folder twice."""
    folder, _ = kept
    before = sorted(folder.rglob("*"))
    ended = subprocess.run(
        [*PROGRAM, "demo", "--keep", str(folder)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 64
    assert "earlier demo" in ended.stderr
    assert sorted(folder.rglob("*")) == before


def proof(folder, state):
    """What the demo's own proof says of a kept demo."""
    return list(demo.find_problems(folder, demo.latest_cases(folder / "gcwatch.toml"), state))


def pk_of(url):
    return url.rstrip("/").rpartition("/")[2]


def value(folder, output):
    """What the sandbox would say of a value, as far as its file tells."""
    [file] = output["files"]
    is_json = output["carrier"] == "value"
    return {
        "socket": output["socket"],
        "image": pk_of(output["url"]) if output["carrier"] == "image" else None,
        "sha256": None if is_json else file["sha256"],
        "value": json.loads((folder / file["path"]).read_text()) if is_json else None,
    }


@pytest.fixture
def state(kept):
    """What the sandbox would have said, as far as the receipts tell."""
    told = {"jobs": [], "display_sets": [], "items": []}
    for file in sorted(kept[0].rglob("gcwatch.json")):
        receipt = json.loads(file.read_text())
        target = receipt["target"]
        sent = [
            {"socket": each["socket"], "image": pk_of(each["image"])}
            for each in receipt.get("inputs", ())
        ]
        values = [value(file.parent, each) for each in receipt["outputs"]]
        if "job" in target:
            told["jobs"].append({"pk": target["job"], "inputs": sent, "outputs": values})
        elif "display_set" in target:
            told["display_sets"].append({"pk": target["display_set"], "values": sent})
        else:
            item = {"pk": target["item"], "title": receipt["title"], "values": values}
            told["items"].append(item)
    return told


def test_the_proof_holds_for_what_was_delivered(kept, state):
    """The state made of the receipts is the sandbox's: nothing is wrong."""
    assert proof(kept[0], state) == []


def test_the_proof_finds_a_wrong_byte(kept, state):
    """A result that is not what the platform produced makes the demo fail."""
    for each in (state["items"][0]["values"][0], state["jobs"][0]["outputs"][0]):
        before = dict(each)
        each["sha256"] = "0" * 64
        assert "is not what the platform produced" in proof(kept[0], state)[0]
        each.update(before)


def test_the_proof_finds_a_second_job(kept, state):
    """A patient sent twice makes the demo fail."""
    state["jobs"].append({"pk": "x", "inputs": [], "outputs": []})
    assert proof(kept[0], state) == ["5 jobs were made for 4 folders."]


def test_the_proof_finds_a_second_display_set(kept, state):
    """A case that readers would see twice makes the demo fail."""
    state["display_sets"].append({"pk": "x", "values": []})
    assert proof(kept[0], state) == ["3 display sets were made for 2 folders."]


def test_the_proof_finds_that_an_image_was_uploaded_again(kept, state):
    """The archive's own image must have gone through the algorithm, and to the readers."""
    state["items"][0]["values"][0]["image"] = "another"
    assert proof(kept[0], state) == [
        "lungs/chest-1: the archive's image was not used as it is",
        "reading/chest-1: the display set does not show the case beside its segmentation",
    ]


def test_the_proof_finds_an_item_that_was_not_mirrored(kept, state):
    """An archive that is not here as a whole makes the demo fail."""
    state["items"] = state["items"][1:]
    assert "archive/chest-1: is not mirrored" in proof(kept[0], state)


@pytest.mark.parametrize(
    ("place", "case"),
    [
        ("copy/out/phantom", "copy/phantom"),
        ("archive/chest-1", "archive/chest-1"),
        ("segmented/chest-2", "lungs/chest-2"),
    ],
)
def test_the_proof_finds_other_voxels(kept, state, place, case):
    """An image with other voxels than it must have makes the demo fail."""
    [image] = (kept[0] / place).rglob("*.mha")
    whole = image.read_bytes()
    head, mark, _ = whole.partition(b"ElementDataFile = LOCAL\n")
    image.write_bytes(head.replace(b"CompressedData = True", b"CompressedData = False") + mark)
    try:
        found = proof(kept[0], state)
    finally:
        image.write_bytes(whole)
    assert f"{case}: the image is not what it should be" in found


def test_the_proof_finds_an_unexplained_refusal(kept, state):
    """A failure without its note makes the demo fail."""
    note = kept[0] / "copy" / "out" / "doe-archibald-xray.failed.txt"
    text = note.read_text()
    note.unlink()
    try:
        found = proof(kept[0], state)
    finally:
        note.write_text(text)
    assert found == [f"copy/doe-archibald-xray: {note.name} does not explain it"]
