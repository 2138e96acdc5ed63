"""The demo, as `make demo` runs it: without a terminal, in half a minute, honest."""

import json
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
        timeout=100,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder, ended


def test_the_demo_shows_what_happened(kept):
    """The results as a tree, a receipt, and each refusal in words."""
    _, ended = kept
    for said in ("copy/out", "voxel-count.json", '"job_url"', "is not sent", "retry copy-"):
        assert said in ended.stdout
    assert "Every result is here with the right bytes" in ended.stdout


def test_the_demo_speaks_json_lines_on_a_pipe(kept):
    """The daemon's log is the daemon's log, in the demo too; no name is in it."""
    folder, ended = kept
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert sum(line["event"] == "case.delivered" for line in lines) == 5
    assert (folder / "log.jsonl").read_text() == ended.stderr
    assert "doe-" not in ended.stderr


def test_a_kept_demo_can_be_looked_at(kept):
    """Config, inboxes, outboxes, journal and log are there, and the commands work on them."""
    folder, _ = kept
    ended = subprocess.run(
        [*PROGRAM, "status", "--json", "--config", str(folder / "gcwatch.toml")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout)["counts"] == {"delivered": 5, "failed": 3}


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
    return list(demo.problems(folder, demo.outcome(folder / "gcwatch.toml"), state))


@pytest.fixture
def state(kept):
    """What the sandbox would have said, as far as the receipts tell."""
    folder, _ = kept
    jobs = []
    for file in sorted(folder.glob("*/out/*/gcwatch.json")):
        receipt = json.loads(file.read_text())
        outputs = [
            {"socket": output["socket"]}
            | (
                {"sha256": None, "value": json.loads((file.parent / path["path"]).read_text())}
                if output["carrier"] == "value"
                else {"sha256": path["sha256"], "value": None}
            )
            for output in receipt["outputs"]
            for path in output["files"]
        ]
        jobs.append({"pk": receipt["target"]["job"], "outputs": outputs})
    return {"jobs": jobs}


def test_the_proof_holds_for_what_was_delivered(kept, state):
    """The state made of the receipts is the sandbox's: nothing is wrong."""
    assert proof(kept[0], state) == []


def test_the_proof_finds_a_wrong_byte(kept, state):
    """A result that is not what the platform produced makes the demo fail."""
    state["jobs"][0]["outputs"][0] |= {"sha256": "0" * 64}
    assert "is not what the platform produced" in proof(kept[0], state)[0]


def test_the_proof_finds_a_second_job(kept, state):
    """A patient sent twice makes the demo fail."""
    state["jobs"].append({"pk": "x", "outputs": []})
    assert proof(kept[0], state) == ["6 jobs were made for 5 folders."]


def test_the_proof_finds_other_pixels(kept, state):
    """An image that came back with other voxels makes the demo fail."""
    [image] = (kept[0] / "copy" / "out" / "phantom").rglob("*.mha")
    whole = image.read_bytes()
    head, mark, _ = whole.partition(b"ElementDataFile = LOCAL\n")
    image.write_bytes(head.replace(b"CompressedData = True", b"CompressedData = False") + mark)
    try:
        found = proof(kept[0], state)
    finally:
        image.write_bytes(whole)
    assert "copy/phantom: the image that came back is not the one that was dropped" in found


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
