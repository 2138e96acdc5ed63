"""What an inbox holds."""

import errno
import os
import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcwatch.core.errors import CannotSend, NotYet, SourceChanged, SourceVanished, TryAgain
from gcwatch.core.reasons import Reason, explain
from gcwatch.files import patterns, safe_open, snapshot
from gcwatch.files.beneath import SharePath
from gcwatch.inbox import tree
from gcwatch.inbox.listing import holds_files, list_folders, marker_stamp
from gcwatch.inbox.tree import _read_error


def fill(folder, *names, data=b"x"):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def names(folder, ignore=()):
    return [file.name for file in tree.source_files(SharePath.of(folder), ignore)]


def as_somebody(action):
    """Run `action` in a child process without root's rights; return whether it was true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only asks and exits
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            os._exit(0 if action() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def open_to_all(path):
    """Let anybody pass through to pytest's own folder."""
    for parent in (path, *path.parents[: len(path.parents) - 2]):
        parent.chmod(0o755)


def code_of(action):
    with pytest.raises((CannotSend, TryAgain, NotYet)) as caught:
        action()
    return caught.value.reason.code


# --- survey ------------------------------------------------------------------------------------


def test_a_survey_finds_folders_and_counts_what_it_leaves_alone(tmp_path):
    """Sub-folders are cases; loose files and links are counted; ignored names are not there."""
    fill(tmp_path, "b/x", "a/x", "loose.txt", ".hidden/x", "@eaDir/x", "copying.part")
    (tmp_path / "link").symlink_to("a")
    listing = list_folders(SharePath(tmp_path), ())
    assert [entry.name for entry in listing.cases] == ["a", "b"]
    assert listing.cases[0].stamp == (tmp_path / "a").lstat().st_ctime_ns
    assert (listing.loose, listing.links) == (1, 1)


def test_a_routes_globs_hide_folders(tmp_path):
    """A route's ignore list applies to the folders themselves."""
    fill(tmp_path, "p1/x", "Test-1/x")
    assert [entry.name for entry in list_folders(SharePath(tmp_path), ["test*"]).cases] == ["p1"]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_an_inbox_that_is_no_folder_is_away(tmp_path, kind):
    """A missing inbox means wait, and the reason names no path."""
    path = tmp_path / "in"
    if kind == "file":
        path.write_bytes(b"")
    with pytest.raises(NotYet) as caught:
        list_folders(SharePath(path), ())
    assert caught.value.reason.code == "inbox_away"
    assert str(tmp_path) not in str(caught.value.reason)
    assert caught.value.wait == 30


# --- is it a case yet --------------------------------------------------------------------------


def test_a_folder_without_files_is_no_case_yet(tmp_path):
    """Empty sub-folders and ignored files do not make a case; one file deep below does."""
    fill(tmp_path / "p", ".DS_Store", "sub/thumbs.DB", "__MACOSX/x", "deep/er/.y")
    assert not holds_files(SharePath(tmp_path) / "p", ())
    fill(tmp_path / "p", "deep/er/y")
    assert holds_files(SharePath(tmp_path) / "p", ())
    assert not holds_files(SharePath(tmp_path) / "p", ["deep/**"])
    assert not holds_files(SharePath(tmp_path) / "gone", ())


def test_a_folder_that_a_copy_goes_into_is_a_case(tmp_path):
    """The temporary file stands for content, also in a folder with a temporary name."""
    fill(tmp_path / "p", "deep/er/y.part")
    fill(tmp_path / "q", ".~tmp~/y")
    assert holds_files(SharePath(tmp_path) / "p", ())
    assert holds_files(SharePath(tmp_path) / "q", ())


def test_what_cannot_be_read_counts_as_holding_files(tmp_path):
    """An unreadable folder is a case, so that somebody hears of it."""
    open_to_all(tmp_path)
    (tmp_path / "p").mkdir(mode=0o700)
    (tmp_path / "p").chmod(0)
    assert as_somebody(lambda: holds_files(SharePath(tmp_path) / "p", ()))


def test_the_marker_is_a_file_in_the_folder(tmp_path):
    """Only a file of that very name ends the wait."""
    fill(tmp_path, "p/x", "READY.txt")
    assert not marker_stamp(SharePath(tmp_path) / "p/READY.txt")
    fill(tmp_path, "p/READY.txt", data=b"")
    assert marker_stamp(SharePath(tmp_path) / "p/READY.txt")


# --- files -------------------------------------------------------------------------------------


def test_files_are_listed_recursively_and_sorted(tmp_path):
    """Every regular file with a name relative to the folder, whatever the order on disk."""
    folder = fill(tmp_path / "p", "b", "a/2", "a/1", "c.tmp", ".x", "~$word.doc", "gcwatch.json")
    os.mkfifo(folder / "pipe")
    assert names(folder) == ["a/1", "a/2", "b"]


def test_a_routes_globs_match_a_component_or_the_whole_name(tmp_path):
    """Both `*.txt` and `sub/*.log` work, whatever their case."""
    folder = fill(tmp_path / "p", "A.TXT", "sub/b.log", "c.log", "d")
    assert names(folder, ["*.txt", "sub/*.log"]) == ["c.log", "d"]
    assert names(folder, ["SUB"]) == ["A.TXT", "c.log", "d"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.binary(min_size=1, max_size=40).filter(lambda name: not set(name) & {0, 47}))
def test_any_name_that_a_file_can_have_is_listed_and_read(tmp_path, raw):
    """Names are bytes: line ends, control characters and broken encodings all work."""
    name = os.fsdecode(raw)
    if name in {".", ".."} or patterns.is_ignored(name):
        return
    folder = tmp_path / os.fsdecode(raw + b"\n")
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(raw)
    (file,) = tree.source_files(SharePath(tmp_path) / folder.name, ())
    assert os.fsencode(file.name) == raw
    assert tree.snapshot_folder(SharePath(tmp_path) / folder.name, ()).files == 1
    with safe_open.open_unchanged(file) as stream:
        assert stream.read() == raw
    (folder / name).unlink()


def test_links_within_the_folder_are_followed(tmp_path):
    """What is reached by a link and otherwise is there under its own name; nothing is twice."""
    folder = fill(tmp_path / "p", "own", ".hidden/x", ".hidden/sub/y")
    (folder / "file").symlink_to(".hidden/x")
    (folder / "dir").symlink_to(folder / ".hidden" / "sub")
    assert names(folder) == ["dir/y", "file", "own"]


def test_a_folder_that_becomes_a_link_after_it_was_listed_sends_nothing_from_elsewhere(tmp_path):
    """Also if the file there is the very file that was listed, by another way."""
    folder = fill(tmp_path / "in" / "p", "sub/x")
    [file] = tree.source_files(SharePath(tmp_path / "in") / "p", ())
    (folder / "sub").rename(tmp_path / "outside")
    (folder / "sub").symlink_to(tmp_path / "outside")
    assert Path(str(file.place)).read_text() == "x"
    with pytest.raises(SourceChanged), safe_open.open_unchanged(file):
        pytest.fail("it was opened")


def test_links_in_circles_end(tmp_path):
    """A link to what the folder holds already adds nothing, and cycles end."""
    folder = fill(tmp_path / "p", "a/x")
    (folder / "a" / "up").symlink_to("..")
    (folder / "0").symlink_to("a")
    (folder / "again").symlink_to("a/x")
    assert names(folder) == ["a/x"]


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "../../outside", "..", "../../in-other/x", "../p2/x", "../p2"]
)
def test_a_link_out_of_the_folder_refuses_the_case(tmp_path, target):
    """What a link leads out to is never sent: another patient's, or a name that starts alike."""
    root = tmp_path / "in"
    folder = fill(root / "p", "x")
    fill(root / "p2", "x")
    fill(tmp_path, "outside", "in-other/x")
    (folder / "link").symlink_to(target)
    with pytest.raises(CannotSend) as caught:
        tree.source_files(SharePath(root) / "p", ())
    assert caught.value.reason.code == "link_outside"
    assert caught.value.reason.names == {"file": "link"}
    assert not caught.value.reason.facts


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_to_nothing_is_tried_again(tmp_path, target):
    """The target may still be on its way."""
    folder = fill(tmp_path / "p", "x")
    (folder / "link").symlink_to(target)
    assert code_of(lambda: names(folder)) == "file_unreadable"


def blamed(path, name):
    """Return the names that the error about a folder holds."""
    with pytest.raises(TryAgain) as caught:
        tree.snapshot_folder(SharePath(path) / name, ())
    return caught.value.reason.names


def test_an_unreadable_folder_or_file_is_tried_again(tmp_path):
    """Rights may still be given; nothing is left out silently."""
    open_to_all(tmp_path)
    closed = fill(tmp_path / "p", "sub/x") / "sub"
    closed.chmod(0)
    assert as_somebody(lambda: code_of(lambda: names(tmp_path / "p")) == "file_unreadable")
    assert as_somebody(lambda: blamed(tmp_path, "p") == {"file": "sub"})
    closed.chmod(0o755)
    (closed / "x").chmod(0)
    assert as_somebody(
        lambda: (
            code_of(lambda: tree.snapshot_folder(SharePath(tmp_path) / "p", ()))
            == "file_unreadable"
        )
    )
    (file,) = tree.source_files(SharePath(tmp_path) / "p", ())

    def read():
        with safe_open.open_unchanged(file):
            pass

    assert as_somebody(lambda: code_of(read) == "file_unreadable")


@pytest.mark.parametrize("code", ["folder_too_full", "too_deep", "name_too_long"])
def test_a_folder_that_holds_too_much_fails_its_case_alone(tmp_path, monkeypatch, code):
    """It is told why; for the scan it is a folder with files, so that it becomes a case."""
    most = 5 if code == "folder_too_full" else 500
    monkeypatch.setattr("gcwatch.inbox.listing.MOST_FILES", most)
    folder = fill(tmp_path / "p", *(f"sub{n}/x" for n in range(2)))
    if code == "folder_too_full":
        fill(folder, *(f"sub{n}/y" for n in range(3)))
    else:
        name = "d" if code == "too_deep" else "d" * 200
        fill(folder, "/".join([name] * (101 if code == "too_deep" else 11)) + "/x")
    share = SharePath(tmp_path)
    assert code_of(lambda: tree.snapshot_folder(share / "p")) == code
    assert holds_files(share / "p")
    assert explain(Reason(code, {"limit": 5})).plain
    assert list_folders(share).cases


def test_an_inbox_with_too_many_entries_is_told_as_that(tmp_path, monkeypatch):
    """Its listing would fill the memory."""
    monkeypatch.setattr("gcwatch.inbox.listing.MOST_FILES", 5)
    fill(tmp_path, *(f"p{n}/x" for n in range(6)))
    assert code_of(lambda: list_folders(SharePath(tmp_path))) == "inbox_too_full"


def test_a_folder_gone_from_an_inbox_with_others_has_vanished(tmp_path):
    """Somebody took it away."""
    fill(tmp_path / "other", "x")
    with pytest.raises(SourceVanished):
        tree.snapshot_folder(SharePath(tmp_path) / "p", ())
    (tmp_path / "p").symlink_to("other")
    with pytest.raises(SourceVanished):
        tree.snapshot_folder(SharePath(tmp_path) / "p", ())


def test_a_folder_stays_while_its_sub_folders_come_and_go(tmp_path):
    """One that is taken away between its listing and a look into it is not the whole of them."""
    folder, over = fill(tmp_path / "p", "a"), threading.Event()

    def come_and_go():
        while not over.is_set():
            (folder / "sub").mkdir()
            (folder / "sub").rmdir()

    comer = threading.Thread(target=come_and_go)
    comer.start()
    try:
        for _ in range(2000):
            assert names(folder) == ["a"]
    finally:
        over.set()
        comer.join()


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_gone_with_its_inbox_is_waited_for(tmp_path, there):
    """An empty or missing inbox is a share that is away, never a withdrawal."""
    root = tmp_path / "in"
    if there:
        root.mkdir()
    assert code_of(lambda: tree.snapshot_folder(SharePath(root) / "p", ())) == "inbox_away"


# --- snapshots ---------------------------------------------------------------------------------


def test_a_snapshot_changes_with_what_it_covers_only(tmp_path):
    """Name, size and time of change count; ignored files and mere looks do not."""
    folder = fill(tmp_path / "p", "a", "b/c")
    first = tree.snapshot_folder(SharePath(tmp_path) / "p", ())
    assert (first.files, first.bytes) == (2, 2)
    fill(folder, "copy.part", ".DS_Store")
    assert tree.snapshot_folder(SharePath(tmp_path) / "p", ()).digest == first.digest
    os.utime(folder / "a", ns=(0, 1))
    touched = tree.snapshot_folder(SharePath(tmp_path) / "p", ())
    (folder / "a").rename(folder / "z")
    renamed = tree.snapshot_folder(SharePath(tmp_path) / "p", ())
    assert len({first.digest, touched.digest, renamed.digest}) == 3


def test_a_snapshot_survives_renaming_the_folder(tmp_path):
    """The digest is of what is inside, so that a moved folder can be told to be the same."""
    folder = fill(tmp_path / "p", "a")
    first = tree.snapshot_folder(SharePath(tmp_path) / "p", ())
    folder.rename(tmp_path / "q")
    assert tree.snapshot_folder(SharePath(tmp_path) / "q", ()).digest == first.digest


# --- reading -----------------------------------------------------------------------------------


def test_a_file_that_changed_since_it_was_listed_is_not_read(tmp_path):
    """Grown, replaced, gone, or no longer a file."""
    folder = fill(tmp_path / "p", "a")
    path = folder / "a"
    (file,) = tree.source_files(SharePath(tmp_path) / "p", ())

    def read():
        with pytest.raises(SourceChanged), safe_open.open_unchanged(file):
            raise AssertionError

    path.write_bytes(b"longer")
    read()
    path.unlink()
    read()
    os.mkfifo(path)
    read()
    path.unlink()
    path.mkdir()
    read()


def test_a_file_that_changes_while_read_voids_what_was_read(tmp_path):
    """The check after the body catches it, and a verdict on such bytes is none."""
    folder = fill(tmp_path / "p", "a")
    (file,) = tree.source_files(SharePath(tmp_path) / "p", ())
    with pytest.raises(SourceChanged), safe_open.open_unchanged(file):
        (folder / "a").write_bytes(b"longer")
    (file,) = tree.source_files(SharePath(tmp_path) / "p", ())

    def judge():
        with safe_open.open_unchanged(file):
            (folder / "a").write_bytes(b"x")
            raise CannotSend(Reason("damaged_image"))

    with pytest.raises(SourceChanged):
        judge()


def test_a_pipe_in_a_files_place_does_not_hang(tmp_path):
    """Nobody writes to the pipe, and still the reader returns."""
    os.mkfifo(tmp_path / "pipe")
    file = snapshot.SourceFile(SharePath(tmp_path) / "pipe", "pipe", 0, 0, 0, 0, 0)
    ended = threading.Event()

    def read():
        with pytest.raises(SourceChanged), safe_open.open_unchanged(file):
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    assert ended.wait(60)


# --- patterns ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("a.dcm", "**/*.dcm", True),
        ("x/y/a.DCM", "**/*.dcm", True),
        ("x/a.dcm", "*.dcm", False),
        ("x/a.dcm", "x/*", True),
        ("x/y/a", "x/*", False),
        ("x/y/a", "**", True),
        ("x/y/a", "x/**", True),
        ("x/y/a", "**/y/**", True),
        ("new\nline", "new*", True),
        ("u\u0308.nii", "\u00fc.nii", True),
        ("[1].nii", "[[]1].nii", True),
        ("\udcff.raw", "*.raw", True),
    ],
)
def test_patterns_match_components(name, pattern, expected):
    """`*` stays in a component, `**` spans them, case and Unicode form do not count."""
    assert patterns.matches_pattern(name, pattern) is expected


def test_a_dead_share_is_away_and_not_unreadable(tmp_path):
    """When the inbox itself can't be listed, the share is to blame, not the folder."""
    trouble = _read_error(SharePath(tmp_path / "in") / "p", OSError(errno.ESTALE, ""))
    assert isinstance(trouble, NotYet)
