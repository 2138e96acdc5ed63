"""Whoever may write to a share swaps its folders for links while gcwatch works in it.

For each kind of work, a folder or file is exchanged for a link before each single system call.
Nothing outside the share may be read or changed.
"""

import errno
import itertools
import os
import shutil
import threading
from contextlib import suppress

import pytest
from support.staged import open_staging, staging_of
from support.swaps import exchange_if_there, fingerprint, swap_at_every_call

from gcwatch.core.errors import CaseError, GcwatchError, SourceChanged, SourceVanished
from gcwatch.files import beneath, copies
from gcwatch.files.atomic import write_atomically
from gcwatch.files.beneath import SharePath
from gcwatch.files.names import remove_tree
from gcwatch.files.safe_open import open_unchanged
from gcwatch.inbox import dispose, tree
from gcwatch.inbox.layouts import FileInbox, FolderInbox
from gcwatch.inbox.listing import dropped_receipt, holds_files, list_folders, marker_stamp
from gcwatch.mirrors.storage import HiddenFolder
from gcwatch.outbox import notes, operator_files, publish
from gcwatch.platform.file_parts import FilePart, read_part

SECRET = b"of another patient"
OURS = b"ours"


OLD_KERNEL = "kernel without openat2"


@pytest.fixture(params=["openat2", OLD_KERNEL], autouse=True)
def kernel(request, monkeypatch):
    """All of it holds on kernels before 5.6 as well, and where a sandbox forbids the call."""
    beneath.has_openat2.cache_clear()
    if request.param == OLD_KERNEL:
        monkeypatch.setattr(beneath, "_call_openat2", lambda *_: (-1, errno.ENOSYS))
    elif not beneath.has_openat2():
        pytest.skip("this kernel has no openat2")
    yield
    beneath.has_openat2.cache_clear()


def fill(folder, names, content):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


NAMES = ("p1/a", "p1/sub/x", "p1/sub/deep/y", "p1/gcwatch.json", "p1/READY", "single")


class Places:
    """New places: a share with an inbox and an outbox, and beside it what must stay as it is."""

    def __init__(self, home):
        self._home = home
        self._numbers = itertools.count()

    def __call__(self):
        beneath.forget_roots()
        shutil.rmtree(self._home, ignore_errors=True)
        home = self._home / str(next(self._numbers))
        fill(home / "in", NAMES, OURS)
        fill(home / "out", ("p2/old", "p1.retry"), OURS)
        (home / "out" / "p1.retry").write_bytes(b"")
        outside = home / "outside"
        fill(outside, (*NAMES, *(name.partition("/")[2] or name for name in NAMES)), SECRET)
        fill(outside, ("sub/deep/y", "deep/y", "x", "y", "p2/1.2", "p1.retry"), SECRET)
        links = home / "links"
        links.mkdir()
        for name in ("p1", "p1/sub", "p1/sub/deep", "p1/sub/x", "p1/a", "single", "", "p1.retry"):
            (links / name.replace("/", "-")).symlink_to(outside / name) if name else None
        (links / "outside").symlink_to(outside)
        self.before = fingerprint(outside)
        for name in ("in", "out"):
            SharePath(home / name).lstat()  # the path of the config is resolved once
        return home

    def check(self, home, found):
        assert fingerprint(home / "outside") == self.before
        assert SECRET not in (found or b"")


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path / "places")


@pytest.fixture(params=["some calls", pytest.param("every call", marks=pytest.mark.prove)])
def step(request):
    """How many system calls one swap comes after the other: a number prime to most rounds."""
    return 1 if request.param == "every call" else 23


INBOX_TARGETS = [
    ("in", "links/outside"),
    ("in/p1", "links/p1"),
    ("in/p1/sub", "links/p1-sub"),
    ("in/p1/sub/x", "links/p1-sub-x"),
    ("in/p1/a", "links/p1-a"),
    ("in/single", "links/single"),
]


def read_all(home):
    """List a folder and read each of its files."""
    found = b""
    with suppress(CaseError, SourceChanged, SourceVanished):
        for file in tree.source_files(SharePath(home / "in") / "p1"):
            with open_unchanged(file) as stream:
                found += stream.read()
    return found


def send_parts(home):
    """List a folder and send each of its files in parts, as from the inbox."""
    found = b""
    with suppress(CaseError, SourceChanged, SourceVanished):
        for file in tree.source_files(SharePath(home / "in") / "p1"):
            for at in range(2):
                part = FilePart(at + 1, 2 * at, 2)
                found += b"".join(map(bytes, read_part(file, part, threading.Event())))
    return found


def scan(home):
    """What a scan looks at."""
    inbox = SharePath(home / "in")
    with suppress(CaseError, OSError, SourceVanished):
        list_folders(inbox)
        holds_files(inbox / "p1")
        marker_stamp(inbox / "p1" / "READY")
        tree.snapshot_folder(inbox / "p1")
    return repr(dropped_receipt(inbox / "p1")).encode()


def dispose_of(after, unit, name):
    def work(home):
        box = unit(SharePath(home / "in"))
        with suppress(GcwatchError):
            sent = box.snapshot_case(name)
            dispose.dispose_of_source(box, name, after, home / "done", sent)

    return work


@pytest.mark.parametrize(
    "work",
    [
        read_all,
        send_parts,
        scan,
        dispose_of("move", FolderInbox, "p1"),
        dispose_of("delete", FolderInbox, "p1"),
        dispose_of("move", FileInbox, "single"),
        dispose_of("delete", FileInbox, "single"),
    ],
    ids=["read", "send", "scan", "move", "delete", "move file", "delete file"],
)
def test_no_swap_in_an_inbox_reaches_what_is_outside(places, work, step):
    """Whatever is swapped, and whenever: what is outside is neither sent, moved nor deleted."""
    assert swap_at_every_call(places, INBOX_TARGETS, work, places.check, step) > 3


OUTBOX_TARGETS = [
    ("out", "links/outside"),
    ("out/p1", "links/p1"),
    ("out/p2", "links/p1"),
    ("out/p1.retry", "links/p1.retry"),
]


def publish_result(home):
    """Collect a result, publish it, and write and remove notes."""
    with suppress(GcwatchError, OSError):
        folder = staging_of(home / "out", "k").open()
        (folder / "sub" / "x").make_parents()
        with (folder / "sub" / "x").create_file() as file:
            file.write(OURS)
        publish.publish_results(staging_of(home / "out", "k"), "p2/1.2", {})
        notes.write_failure_note(home / "out", "p2/1.2", "text")
        notes.remove_failure_note(home / "out", "p2/1.2")
        staging_of(home / "out", "k").discard()


def obey_files(home):
    """Look for operator files, and answer them."""
    for file in operator_files.find_operator_files(home / "out", ["p1", "p2/1.2"]):
        with suppress(OSError):
            operator_files.refuse_operator_file(file, "no")
            operator_files.remove_operator_file(file)


def mirror_item(home):
    """Exchange an entry of a mirror."""
    with suppress(GcwatchError, OSError):
        hidden = HiddenFolder(home / "out")
        hidden.create(was_full=False)
        staged = hidden.partial / "new"
        staged.mkdir()
        publish.seal_folder(staged, "{}")
        hidden.exchange_entry(staged, "p2")
        hidden.finish_exchanges()


@pytest.mark.parametrize("work", [publish_result, obey_files, mirror_item])
def test_no_swap_in_an_outbox_reaches_what_is_outside(places, work, step):
    """Whatever is swapped, and whenever: nothing is written, removed or opened up outside."""
    assert swap_at_every_call(places, OUTBOX_TARGETS, work, places.check, step) > 3


def test_no_swap_in_a_staging_folder_reaches_what_is_outside(places, step):
    """Not even one of the folder with the random name, by somebody who watches the outbox."""

    def make():
        home = places()
        folder = open_staging(home / "out", "k")
        fill(folder, ("sub/x", "sub/deep/y"), OURS)
        (home / "staged").symlink_to(folder)  # tells the swap its name
        return home

    targets = [("staged", "links/p1"), ("staged/sub", "links/p1-sub")]
    assert swap_at_every_call(make, targets, publish_result, places.check, step) > 3


@pytest.mark.parametrize("work", [read_all, publish_result])
@pytest.mark.parametrize("pair", [("in/p1/sub", "links/p1-sub"), ("out/p2", "links/p1")])
def test_a_swap_again_and_again_reaches_nothing_outside(places, pair, work):
    """As somebody does who does not know the right moment."""
    home = places()
    over = threading.Event()

    def swap():
        while not over.is_set():
            exchange_if_there(home / pair[0], home / pair[1])

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        for _ in range(100):
            places.check(home, work(home))
    finally:
        over.set()
        swapper.join()


# --- what is put there before --------------------------------------------------------------------


def test_another_name_of_a_file_outside_is_not_written_to(places):
    """A hard link needs no right to the file: what has two names is replaced, not changed."""
    home = places()
    share = SharePath(home / "out")
    for name, write in (
        ("value", lambda path: path.create_file().close()),
        ("note", lambda path: write_atomically(path, b"x", 0o600)),
        ("copy", lambda path: copies.copy_file(share / "p2/old", path)),
    ):
        os.link(home / "outside" / "p1" / "a", home / "out" / name)
        write(share / name)
    os.link(home / "outside" / "p1" / "a", home / "out" / "x.part")
    with pytest.raises(FileNotFoundError):
        (share / "x.part").append_file()
    (home / "out" / "x.part").unlink()
    places.check(home, b"")


def test_nothing_but_a_file_is_opened(tmp_path):
    """A pipe, a socket, a device or a folder in the place of a file is told as a missing file."""
    share = SharePath(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    os.mknod(tmp_path / "socket", 0o600 | 0o140000)
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "socket", "link", "folder"):
        with pytest.raises((FileNotFoundError, NotADirectoryError)):
            (share / name).open_file()


@pytest.mark.parametrize("name", ["..", "a/../b", "/etc/passwd", "a//b", ".", "a\0b", ""])
def test_a_name_that_could_lead_elsewhere_is_no_path_in_a_share(tmp_path, name):
    """Wherever it comes from: a journal, a receipt, a command."""
    with pytest.raises(ValueError, match="plain names"):
        SharePath(tmp_path) / name


def test_a_folder_is_removed_however_deep_it_is(tmp_path):
    """Without recursion, long paths or many open files; what a link in it leads to stays."""
    fill(tmp_path / "outside", ("kept",), OURS)
    (tmp_path / "top").mkdir()
    here = os.open(tmp_path / "top", os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d" * 10, dir_fd=here)
        os.symlink(tmp_path / "outside", "link", dir_fd=here)
        inner = os.open("d" * 10, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    remove_tree(SharePath(tmp_path) / "top")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outside"]
    assert (tmp_path / "outside" / "kept").read_bytes() == OURS
