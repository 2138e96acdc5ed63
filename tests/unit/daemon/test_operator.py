"""Operator files: `retry` and `withdraw` for people who see only the share."""

import io
import os
from contextlib import closing

import pytest
from support.builders import Site, check_history, check_results, mha, series, until
from support.slices import one_slice

from gcwatch import config, log
from gcwatch.core import events
from gcwatch.daemon.hosts.held_leases import HeldLeases
from gcwatch.daemon.operator import Operator
from gcwatch.journal.journal import Journal
from gcwatch.outbox.operator_files import find_operator_files


@pytest.fixture
def site(tmp_path, sandbox):
    """A site that allows operator files, and whose log is written down."""
    site = Site(tmp_path / "site", sandbox, operator_files=True)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def fail(site):
    """Let a folder fail; return the folder."""
    folder = site.drop("p1", {"image.mha": b""})
    assert site.run_once().failed == 1
    return folder


def test_a_retry_file_tries_a_failed_case_again_and_is_removed(site):
    """The note says so; one file is one try."""
    fail(site)
    assert "make an empty file p1.retry beside this note" in site.note()
    (site.outbox / "p1.retry").touch()

    for _ in range(2):
        site.run_once()

    assert (site.case().ending, site.case().round) == ("failed", 2)
    assert [path.name for path in site.outbox.iterdir()] == ["p1.failed.txt"]
    assert len(site.said("case.retried")) == 1
    with site.watch() as watch:
        check_history(watch)


def test_a_retry_file_sends_a_delivered_folder_again(site):
    """The new results stand beside the old ones."""
    site.drop("p1")
    site.run_once()
    (site.outbox / "p1.retry").touch()

    for _ in range(2):
        site.run_once()

    assert site.delivered() == ["p1", "p1.2"]
    assert len(site.jobs()) == 2
    check_results(site.sandbox, site.outbox / "p1.2")
    assert not (site.outbox / "p1.retry").exists()


def _items(**keys):
    """A route without an algorithm: what is made of a case is a display set or an item."""
    return {"algorithm": None, "operator_files": True, "inputs": {"ct-image": "*"}} | keys


def _write_slices(folder, numbers):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        one_slice(folder / str(number), number, (0, 0, number))


ROUTES = {
    "reader study": (_items(reader_study="lung-study"), "p1/image.mha"),
    "archive": (_items(archive="ct-archive"), "p1/image.mha"),
    "a case a file": (_items(archive="ct-archive", cases="files"), "p1.mha"),
    "a case a series": (
        _items(archive="ct-archive", cases="series", inputs={"ct-image": "**"}),
        "p1/a",
    ),
}


@pytest.mark.parametrize("name", ROUTES)
def test_a_retry_file_works_for_each_kind_of_route(name, tmp_path, sandbox):
    """The failed case is tried again, with what is in the inbox then; one thing is made."""
    keys, source = ROUTES[name]
    site = Site(tmp_path / "site", sandbox, **keys)
    path = site.inbox / source
    path.parent.mkdir(exist_ok=True)
    whole = name != "a case a series"
    path.write_bytes(mha()[:-9]) if whole else _write_slices(path, (1, 2, 4))
    assert site.run_once().failed == 1
    [note] = site.outbox.rglob("*.failed.txt")
    asked = note.with_name(note.name.replace(".failed.txt", ".retry"))
    assert f"make an empty file {asked.name} beside this note" in note.read_text()
    path.write_bytes(mha()) if whole else _write_slices(path, (3,))
    asked.touch()

    for _ in range(2):
        site.run_once()

    assert (asked.exists(), note.exists()) == (False, False)
    assert len(site.results()) == 1
    assert len([*sandbox.state()["display_sets"], *sandbox.state()["items"]]) == 1


def test_a_withdraw_file_leaves_a_case_alone(site):
    """While it is under way."""
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    with site.running() as watch:
        site.drop()
        until(lambda: any(case.status for case in watch.cases()))

        (site.outbox / "p1.withdraw").touch()

        until(lambda: watch.find("lobes/p1").ending == "withdrawn")
        until(lambda: not (site.outbox / "p1.withdraw").exists())
    assert len(site.said("case.withdrawn")) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("p1.withdraw", "it has ended already (failed)"),
        ("p2.retry", "no folder of this name was seen"),
    ],
)
def test_a_verb_that_cannot_be_done_is_refused_in_the_file(site, name, reason):
    """Once: a file with content asks for nothing."""
    fail(site)
    (site.outbox / name).touch()

    for _ in range(2):
        site.run_once()

    assert reason in (site.outbox / name).read_text()
    assert len(site.said("operator_file.refused")) == 1
    assert (site.case().ending, site.case().round) == ("failed", 1)


def test_a_case_that_ends_while_its_file_is_read_is_not_withdrawn_in_the_log(site):
    """What is logged is what was recorded; the file says why nothing was."""
    site.configure(operator_files=True, settle="1h")
    site.drop("p1")
    with site.running() as watch:
        until(watch.cases)
    (site.outbox / "p1.withdraw").touch()
    logged = []
    with site.watch() as watch:
        key = watch.find("lobes/p1").key

        class Overtaken(Journal):
            """Somebody else withdraws the case between the look at it and the record."""

            def record_unless_changed(self, case, event):
                watch.journal.record(key, events.Withdrawn())
                return super().record_unless_changed(case, event)

        with closing(Overtaken(site.state)) as journal:
            held = HeldLeases(journal.leases, 0.0, frozenset)
            operator = Operator(journal, lambda *what: logged.append(what), held.hold)
            operator.obey_files(watch.settings.routes)

    assert logged == []
    assert "it has ended already (withdrawn)" in (site.outbox / "p1.withdraw").read_text()


def write_words(path):
    path.write_text("please")


def link_to_empty(path):
    (path.parent.parent / "empty").touch()
    path.symlink_to(path.parent.parent / "empty")


@pytest.mark.parametrize("make", [write_words, link_to_empty, os.mkdir, os.mkfifo])
def test_only_an_empty_file_asks_for_a_verb(site, make):
    """No link is followed, no pipe is opened, and what is there stays."""
    fail(site)
    make(site.outbox / "p1.retry")

    site.run_once()

    assert site.case().round == 1
    assert os.path.lexists(site.outbox / "p1.retry")


def test_without_the_key_no_file_asks_for_anything(site):
    """Whoever may write into the outbox may not start jobs, unless the config says so."""
    site.configure(operator_files=False)
    fail(site)
    assert ".retry" not in site.note()
    (site.outbox / "p1.retry").touch()

    site.run_once()

    assert site.case().round == 1
    assert (site.outbox / "p1.retry").exists()


def test_a_file_that_cannot_be_removed_is_obeyed_once(site, monkeypatch):
    """As on a share that went read-only: each of the lives sees the file, one tries again."""
    fail(site)
    file = site.outbox / "p1.retry"
    file.touch()
    unlink = os.unlink

    def refuse(path, *args, **kwargs):
        if path == file.name:
            raise PermissionError(1, "read-only")
        unlink(path, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", refuse)
        for _ in range(3):
            site.run_once()
    assert (site.case().round, file.exists()) == (2, True)
    assert {line["event"] for line in site.said("operator_file.stuck")}

    site.run_once()

    assert (site.case().round, file.exists()) == (2, False)


def test_the_file_of_a_series_stands_beside_its_note(site):
    """In the folder of the patient."""
    site.configure(operator_files=True, cases="series")
    site.drop("p1", series())
    site.run_once()
    (name,) = site.results()
    (site.outbox / f"{name}.retry").touch()
    (site.outbox / "p1.retry.retry").touch()

    files = find_operator_files(site.outbox, [name])
    site.run_once()

    assert {(file.folder, file.verb) for file in files} == {(name, "retry"), ("p1.retry", "retry")}
    assert site.results() == [name, f"{name}.2"]


def test_a_new_case_of_an_operator_file_remembers_the_file(site):
    """So that its own retry is not taken for another one after a crash."""
    site.drop("p1")
    site.run_once()
    (site.outbox / "p1.retry").touch()
    (asked,) = find_operator_files(site.outbox, ["p1"])
    site.run_once()
    with site.watch() as watch:
        case = watch.find("lobes/p1")
        recorded = [each.event for each in watch.history(case)]
    assert case.request == asked.request
    assert events.Retried(asked.request, even_if_same=True) in recorded
