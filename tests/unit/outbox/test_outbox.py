"""Finished folders, published by one rename, and what becomes of their sources."""

import json
import os
import shutil
import stat
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.staged import open_staging, publish_as, staging_of

from gcwatch.core.errors import TryAgain
from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files import atomic, names
from gcwatch.files.beneath import SharePath
from gcwatch.inbox import dispose, tree
from gcwatch.inbox.layouts import FolderInbox
from gcwatch.inbox.listing import list_folders
from gcwatch.outbox import notes, publish


def fill(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- staging folders ---------------------------------------------------------------------------


def test_a_staging_folder_is_found_again_by_its_note_only(tmp_path):
    """Its name is random: nobody can prepare it, and another run of gcwatch continues in it."""
    (tmp_path / "out").mkdir()
    first = open_staging(tmp_path / "out", "k")
    assert open_staging(tmp_path / "out", "k") == first
    staging_of(tmp_path / "out", "k").note.unlink()
    assert open_staging(tmp_path / "out", "k") != first
    assert not first.exists()


@pytest.mark.parametrize(
    "put",
    [
        lambda path, elsewhere: path.symlink_to(elsewhere),
        lambda path, _: path.write_text("a file"),
        lambda path, _: path.mkdir(),
        lambda path, elsewhere: (elsewhere / "theirs").rename(path),
    ],
    ids=["link", "file", "new folder", "folder of others"],
)
def test_what_others_put_in_the_place_of_a_staging_folder_is_never_used(tmp_path, put):
    """It is removed; what a link led to stays as it was."""
    elsewhere = fill(tmp_path / "elsewhere", kept="1")
    fill(elsewhere / "theirs")
    (tmp_path / "out").mkdir()
    first = open_staging(tmp_path / "out", "k")
    first.rename(tmp_path / "taken away")
    put(first, elsewhere)
    second = open_staging(tmp_path / "out", "k")
    assert second != first
    assert second.is_dir()
    assert not second.is_symlink()
    assert not os.path.lexists(first)
    assert (elsewhere / "kept").read_text() == "1"


# --- names chosen by a server ------------------------------------------------------------------


@given(st.text(st.characters()), st.text(st.characters()))
@example("", "")
@example("\ud800", "/..")
@example("a" * 5000, "b" * 5000)
@example("a/" * 5000, "..")
@example("x." + "é" * 200, "")
@example(" . ", ". ")
@example("a" * 255 + ".", "")
def test_no_server_name_can_leave_the_outbox(relative, fallback):
    """Whatever the server says: relative, plain, short enough, and not the receipt."""
    path = names.safe_relative_path(relative, fallback)
    assert not path.is_absolute()
    assert path.parts
    assert path.parts[0].lower() != RECEIPT_NAME
    for part in path.parts:
        assert part not in {"", ".", ".."}
        assert len(os.fsencode(part)) <= 255
        assert not set(part) & set('/\\<>:"|?*\0')
        assert not part.startswith((".", " "))
        assert not part.endswith((".", " "))
        assert all(unicodedata.category(letter) not in {"Cc", "Cf", "Cs"} for letter in part)
    assert len(os.fsencode(str(path))) <= 1024


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("images/lobes/x.mha", "images/lobes/x.mha"),
        ("results.json", "results.json"),
        ("/etc/passwd", "etc/passwd"),
        ("../../x", "__/__/x"),
        ("a/./b//c", "a/b/c"),
        ("a\\..\\b", "a_.._b"),
        ("C:\\x", "C__x"),
        ("gcwatch.json", "_gcwatch.json"),
        ("./GCWATCH.json", "_GCWATCH.json"),
        ("a/gcwatch.json", "a/gcwatch.json"),
        ("nul", "_nul"),
        ("COM1.txt", "_COM1.txt"),
        (".hidden", "_hidden"),
        ("x. . ", "x. _"),
        ("a\nb\u202ec", "a_b_c"),
        ("", "fallback"),
        ("///", "fallback"),
        ("é" * 200 + ".nii.gz", "é" * 126 + ".gz"),
    ],
)
def test_server_names_keep_what_is_harmless(relative, expected):
    """Good names pass unchanged, bad parts are neutralised where they stand."""
    assert str(names.safe_relative_path(relative, "fallback")) == expected


# --- publishing --------------------------------------------------------------------------------


def test_nothing_is_visible_before_the_rename(tmp_path):
    """The staging folder is hidden, and nobody outside the group may look into it."""
    place = open_staging(tmp_path, "k1")
    assert place.name.startswith(".")
    assert list_folders(SharePath(tmp_path), ()).cases == ()
    assert stat.S_IMODE(place.stat().st_mode) & 0o007 == 0


def test_a_published_folder_is_whole_and_has_a_receipt(tmp_path):
    """All files and the receipt with the key appear, and nothing of the staging stays."""
    assert publish_as(tmp_path, "k1", **{"a.json": "1"}) == "p1"
    assert [path.name for path in tmp_path.iterdir()] == ["p1"]
    found = contents(tmp_path / "p1")
    assert found.pop("a.json") == "1"
    assert json.loads(found.pop("gcwatch.json")) == {"route": "lobes", "key": "k1"}
    assert not found


def test_publishing_twice_is_publishing_once(tmp_path):
    """After a crash between rename and journal the folder is found by its key."""
    publish_as(tmp_path, "k1", a="1")
    assert publish.publish_results(staging_of(tmp_path, "k1"), "p1", {"route": "other"}) == "p1"
    assert [path.name for path in tmp_path.iterdir()] == ["p1"]
    assert json.loads((tmp_path / "p1" / "gcwatch.json").read_text())["route"] == "lobes"


def test_earlier_results_are_never_replaced(tmp_path):
    """The second and third results of one folder get numbers, gaps or not."""
    assert [publish_as(tmp_path, f"k{n}", a=str(n)) for n in (1, 2, 3)] == ["p1", "p1.2", "p1.3"]
    assert [(tmp_path / name / "a").read_text() for name in ("p1", "p1.2", "p1.3")] == list("123")
    for path in (tmp_path / "p1.2").iterdir():
        path.unlink()
    (tmp_path / "p1.2").rmdir()
    assert publish.published_name(tmp_path, "k3", "p1") == "p1.3"
    assert publish.publish_results(staging_of(tmp_path, "k3"), "p1", {}) == "p1.3"


def test_what_others_put_in_the_way_stays(tmp_path):
    """A file, a link, an empty folder or a foreign receipt of that name is left alone."""
    (tmp_path / "p1").write_text("theirs")
    (tmp_path / "p1.2").symlink_to("nowhere")
    (tmp_path / "p1.3").mkdir()
    fill(tmp_path / "p1.4", **{"gcwatch.json": "[no json"})
    assert publish_as(tmp_path, "k1") == "p1.5"
    assert (tmp_path / "p1").read_text() == "theirs"


def test_a_rename_onto_a_published_folder_fails(tmp_path):
    """What stands between two daemons that both found the name free."""
    fill(tmp_path / "a", x="1")
    fill(tmp_path / "b", x="2")
    share = SharePath(tmp_path)
    assert not names._try_rename(share / "a", share / "b")
    assert contents(tmp_path / "b") == {"x": "2"}
    (tmp_path / "c").write_text("")
    assert not names._try_rename(share / "a", share / "c")


@pytest.mark.parametrize("name", [os.fsdecode(b"\xff\n\x01"), "é" * 127 + "x", "x" * 255])
def test_any_folder_name_can_be_published_numbered_and_reported(tmp_path, name):
    """The longest names that a file system takes leave room for what is appended."""
    first, second = publish_as(tmp_path, "k1", name), publish_as(tmp_path, "k2", name)
    assert first == name != second
    assert publish.published_name(tmp_path, "k2", name) == second
    notes.write_failure_note(tmp_path, name, f"{name} did not work")
    assert len(list(tmp_path.glob("*.failed.txt"))) == 1
    notes.remove_failure_note(tmp_path, name)
    notes.remove_failure_note(tmp_path, name)
    assert not list(tmp_path.glob("*.failed.txt"))


def test_discarding_removes_the_staging_only(tmp_path):
    """Twice is once, and what is published stays."""
    publish_as(tmp_path, "k1")
    open_staging(tmp_path, "k2")
    staging_of(tmp_path, "k2").discard()
    staging_of(tmp_path, "k2").discard()
    assert [path.name for path in tmp_path.iterdir()] == ["p1"]


def test_modes_that_are_right_are_left_alone(tmp_path):
    """A service may not set the setgid bit (RestrictSUIDSGID=), even where it is set."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole").chmod(0o2750)
    changed = (tmp_path / "whole").stat().st_ctime_ns  # by any chmod, even to the same
    atomic.let_group_read(SharePath(tmp_path) / "whole")
    assert (tmp_path / "whole").stat().st_ctime_ns == changed


def test_an_outbox_that_is_away_is_tried_again(tmp_path):
    """Each call says so without naming a path."""
    away = tmp_path / "DOE^JANE"
    for call in (
        staging_of(away, "k").open,
        staging_of(away, "k").discard,
        lambda: publish.publish_results(staging_of(away, "k"), "p1", {}),
        lambda: publish.published_name(away, "k", "p1"),
        lambda: notes.write_failure_note(away, "p1", "x"),
    ):
        with pytest.raises(TryAgain) as caught:
            call()
        assert caught.value.reason.code == "disk"
        assert "DOE" not in str(caught.value.reason)


# --- the source --------------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path):
    root = tmp_path / "in"
    fill(root / "p1" / "sub", c="3")
    fill(root / "p1", a="1", b="2")
    fill(root / "other", x="y")
    return root


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another file system than tmp_path."""
    for place in (Path("/dev/shm"), Path("/run")):
        if place.is_dir() and os.access(place, os.W_OK):
            if place.stat().st_dev == tmp_path.stat().st_dev:
                continue
            target = place / f"gcwatch-test-{os.getpid()}-{tmp_path.name}"
            yield target
            shutil.rmtree(target, ignore_errors=True)
            return
    pytest.skip("no second file system to write to")


def dispose_of(box, after, done=None, expected=None, ignore=()):
    expected = expected or tree.snapshot_folder(SharePath(box) / "p1", ignore)
    return dispose.dispose_of_source(
        FolderInbox(SharePath(box), ignore), "p1", after, done, expected
    )


WHOLE = {"a": "1", "b": "2", "sub/c": "3"}


def test_keep_leaves_the_folder(box):
    """The default changes nothing in an inbox."""
    assert dispose_of(box, "keep")
    assert contents(box / "p1") == WHOLE


def test_delete_removes_the_folder_and_nothing_else(box):
    """The folder is gone with its junk and its links; its neighbour stays."""
    (box / "p1" / "link").symlink_to("b")
    (box / "p1" / ".DS_Store").write_text("")
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    assert dispose_of(box, "delete", expected=expected)
    assert [path.name for path in box.iterdir()] == ["other"]
    assert contents(box / "other") == {"x": "y"}
    assert dispose_of(box, "delete", expected=expected)


@pytest.mark.parametrize("after", ["move", "delete"])
@pytest.mark.parametrize("late", ["late", "sub/late.part"])
def test_late_files_are_never_deleted(box, tmp_path, after, late):
    """A folder that changed, or into which somebody still writes, stays as it is."""
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    (box / "p1" / late).write_text("late")
    assert not dispose_of(box, after, tmp_path / "done", expected)
    assert contents(box / "p1") == {**WHOLE, late: "late"}
    assert sorted(path.name for path in box.iterdir()) == ["other", "p1"]


def test_a_file_that_comes_while_deleting_gives_the_folder_back(box):
    """Held and judged again before anything is removed."""
    source = dispose._SentFolder(
        SharePath(box), "p1", tree.snapshot_folder(SharePath(box) / "p1", ()), ()
    )
    (box / "p1" / "late").write_text("late")
    assert not source.delete_folder()
    assert contents(box / "p1") == {**WHOLE, "late": "late"}


def test_a_crash_while_deleting_is_finished(box):
    """What was held comes back to be judged; what was doomed goes."""
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    source = dispose._SentFolder(SharePath(box), "p1", expected, ())
    (box / "p1").rename(box / source._held_name)
    assert dispose_of(box, "delete", expected=expected)
    fill(Path(str(source._doomed_path)), half="gone")
    assert dispose_of(box, "delete", expected=expected)
    assert [path.name for path in box.iterdir()] == ["other"]


def test_move_keeps_everything_under_a_free_name(box, tmp_path):
    """Nothing that was moved before is replaced."""
    done = tmp_path / "done"
    fill(done / "p1", old="1")
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    assert dispose_of(box, "move", done, expected)
    assert dispose_of(box, "move", done, expected)
    assert contents(done) == {"p1/old": "1"} | {
        f"p1.2/{name}": text for name, text in WHOLE.items()
    }
    assert not (box / "p1").exists()


def test_move_across_file_systems_copies_first(box, elsewhere):
    """The copy is whole, with times, before the source goes."""
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    assert dispose_of(box, "move", elsewhere, expected)
    assert contents(elsewhere / "p1") == WHOLE
    assert tree.snapshot_folder(SharePath(elsewhere) / "p1", ()).digest == expected.digest
    assert not (box / "p1").exists()
    assert [path.name for path in elsewhere.iterdir()] == ["p1"]


def test_a_crash_after_copying_does_not_copy_twice(box, elsewhere):
    """The copy is known by its digest; only the source's removal is left."""
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    elsewhere.mkdir()
    assert dispose._SentFolder(SharePath(box), "p1", expected, ())._copy_folder(
        SharePath(elsewhere), "p1"
    )
    assert dispose_of(box, "move", elsewhere, expected)
    assert [path.name for path in elsewhere.iterdir()] == ["p1"]
    assert not (box / "p1").exists()


def test_an_inbox_that_is_away_is_not_a_folder_disposed_of(box, tmp_path):
    """The share may be back, with the folder in it."""
    expected = tree.snapshot_folder(SharePath(box) / "p1", ())
    box.rename(tmp_path / "unmounted")
    with pytest.raises(TryAgain):
        dispose_of(box, "delete", expected=expected)
