"""The soak's own checks: each finds what it is there for, and is silent about the rest."""

import json
import random
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from support.builders import Site
from support.sandbox_user import zipped

from gcwatch import config
from gcwatch.core import errors
from soak import patients, verdict
from soak.changes import Changes
from soak.deaths import Loss
from soak.hosts import Group, Sample
from soak.patients import GUEST, HEADER, LINES, SURNAME, Patient, Ward
from soak.sharing import Sharing
from soak.site import Folders, Host

BY_NAME = {line.name: line for line in LINES}


def patient(name, number):
    line = BY_NAME[name]
    return Patient(line, number, (line.files(number),))


def count(sandbox, some):
    """What the soak says of a sandbox that should hold these patients."""
    found = verdict.Count(sandbox.state(), sandbox.folder / "storage")
    return list(verdict.counted(found, some))


def archived(sandbox, number, **other):
    """Put a patient of the route `archive` where it belongs, or what is wrong with it."""
    values = {
        "ct-image": ("ct.mha", patients.mha(number)),
        "clinical-info": ("info.json", patients.info(number)),
        "threshold": number + 0.5,
    }
    changed = {key.replace("_", "-"): value for key, value in other.items()}
    kept = {slug: value for slug, value in (values | changed).items() if value is not None}
    sandbox.add_item("ct-archive", f"case {number} {len(sandbox.state()['items'])}", kept)


# --- the count ------------------------------------------------------------------------------------


def test_patients_that_are_there_once_are_counted(sandbox):
    """By the numbers in images, files, values and DICOM instances."""
    archived(sandbox, 1)
    archived(sandbox, 12345)
    sandbox.add_item("second-archive", "a set", {"dicom-ct": zipped(patients.scan(7))})
    some = [patient("archive", 1), patient("archive", 12345), patient("sets", 7)]
    assert count(sandbox, some) == []


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda sandbox: archived(sandbox, 1), "patient 1 is there 1 times too often"),
        (lambda sandbox: archived(sandbox, 9), "patient 9 is there 1 times too often"),
        (lambda sandbox: sandbox.remove_item("ct-archive", "case 1 0"), "patient 1 is lost"),
        (lambda sandbox: sandbox.add_item("ct-archive", "empty"), "holds {}"),
        (lambda sandbox: archived(sandbox, 1, clinical_info=None), "not one patient"),
        (lambda sandbox: archived(sandbox, 1, threshold=2.5), "not one patient"),
    ],
)
def test_who_is_lost_doubled_or_mixed_up_is_told(sandbox, spoil, words):
    """Whatever gcwatch itself thinks."""
    archived(sandbox, 1)
    spoil(sandbox)
    assert any(words in problem for problem in count(sandbox, [patient("archive", 1)]))


def test_a_job_that_did_not_end_well_is_told(tmp_path, sandbox):
    """Each patient's job has to have succeeded."""
    site = Site(tmp_path, sandbox)
    site.drop("p1", {"image.mha": patients.mha(5)})
    site.run_once()
    assert count(sandbox, [patient("copy", 5)]) == []
    [job] = sandbox.platform_state.jobs.values()
    job.status = "Cancelled"
    assert "is Cancelled" in " ".join(count(sandbox, [patient("copy", 5)]))


# --- outboxes and secrets -------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """The folders of a soak that has not begun."""
    (tmp_path / "site").mkdir()
    (tmp_path / "platform" / "storage").mkdir(parents=True)
    return Folders(tmp_path / "site", "0123abcd" * 8, "http://127.0.0.1:1/api/v1/")


def test_results_that_are_missing_or_too_many_are_told(folders):
    """One folder a patient, one a series, one note a patient that can't be sent."""
    broken = Patient(BY_NAME["copy"], 3, ({},), broken=True)
    some = [patient("files", 1), patient("series", 8), broken]
    series = folders.outbox("series") / some[1].name
    for place in (folders.outbox("files") / some[0].name, series / "a", series / "b"):
        place.mkdir(parents=True)
    (folders.outbox("files") / some[0].name / "gcwatch.json").touch()
    (folders.outbox("copy") / f"{broken.name}.failed.txt").touch()
    assert list(verdict.published(folders, some)) == []
    (series / "b").rmdir()
    (folders.outbox("files") / f"{some[0].name}.2").mkdir()
    (folders.outbox("files") / f"{some[0].name}.2" / "gcwatch.json").touch()
    told = " ".join(verdict.published(folders, some))
    assert "1 of the results of Weatherwax-00008" in told
    assert "Weatherwax-00001.mha.2 stands in the outbox 1 times too often" in told


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("site/a.stderr.jsonl", "0123abcd" * 8),
        ("site/a.jsonl", f"/in/{SURNAME}-1"),
        ("site/state-a/journal.sqlite-wal", "?X-Amz-Signature=5e"),
        ("site/state-a/journal.sqlite", HEADER),
        ("site/out/copy/p/gcwatch.json", "Signature=0f"),
        ("site/out/copy/p.failed.txt", HEADER),
        ("platform/storage/dicom/x", HEADER),
        ("platform/storage/protected/x", SURNAME),
    ],
)
def test_a_secret_is_found_wherever_it_stands(folders, tmp_path, place, text):
    """One alone, in each of the places."""
    platform = SimpleNamespace(folder=tmp_path / "platform", tell=lambda _: {})
    folders.hosts[0].stderr.write_text("{}")
    assert list(verdict.told(folders, platform, ["0123abcd" * 8])) == []
    path = tmp_path / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    [problem] = verdict.told(folders, platform, ["0123abcd" * 8])
    assert str(path) in problem


def test_what_the_platform_was_told_is_searched(folders, tmp_path):
    """Titles and the names of images, too."""
    titles = {"items": [{"title": f"{SURNAME} 1"}]}
    platform = SimpleNamespace(folder=tmp_path / "platform", tell=lambda _: titles)
    folders.hosts[0].stderr.touch()
    [problem] = verdict.told(folders, platform, [])
    assert SURNAME in problem


# --- memory ---------------------------------------------------------------------------------------


def samples(files=lambda _: 30, **measures):
    """Six settled periods of a daemon that holds a steady amount, but for what is given."""
    steady = {"memory": jumping, "blocks": lambda _: 430_000, "held": lambda _: 22_000}
    for period in range(1, 7):
        cases = 130 * period
        found = {name: round(value(cases)) for name, value in (steady | measures).items()}
        yield Sample(cases, **found, files=files(period), threads=9)


def jumping(cases):
    """What an allocator does."""
    return 72_000 + random.Random(cases).uniform(-1500, 1500)


def step(cases):
    """A table that doubles once."""
    return 22_000 + 1900 * (cases > 500)


@pytest.mark.parametrize(
    "steady",
    [
        {},
        {"files": lambda period: 30 + period % 3},
        {"held": step, "memory": lambda cases: 50_000 + step(cases)},
        {"blocks": lambda cases: 430_000 + 10 * cases, "held": lambda cases: 22_000 + cases},
    ],
)
def test_noise_is_no_leak(steady):
    """What allocators do, a table that doubles, and folders that stay and are watched."""
    assert not list(verdict.grown(list(samples(**steady))))


@pytest.mark.parametrize(
    ("leak", "word"),
    [
        ({"blocks": lambda cases: 430_000 + 40 * cases}, "blocks"),
        ({"held": lambda cases: 22_000 + 10 * cases}, "held"),
        ({"memory": lambda cases: jumping(cases) + 20 * cases}, "memory"),
        ({"files": lambda period: 30 + 3 * period}, "files"),
    ],
)
def test_a_leak_is_told(leak, word):
    """A record kept for each case, a buffer of 10 KiB, heaps that fill; one file more a period."""
    [problem] = verdict.grown(list(samples(**leak)))
    assert word in problem


def test_too_few_samples_are_no_proof():
    """A soak that measured nothing does not claim that nothing grows."""
    assert list(verdict.grown([]))


# --- hosts ----------------------------------------------------------------------------------------


def logged(folder, name, *lines):
    """A host that has logged some lines: how late, of which event and case."""
    host = Host(folder, name, "")
    told = [
        {"time": datetime.fromtimestamp(at, UTC).isoformat(), "event": event, "case": key}
        for at, event, key in lines
    ]
    host.log.write_text("".join(f"{json.dumps(each)}\n" for each in told))
    return host


def test_how_work_was_taken_over_is_told(tmp_path):
    """By another host meanwhile, or by the same one after it came back; too late, or never."""
    hosts = [
        logged(tmp_path, "a", (1, "case.found", "x"), (6, "x", "x"), (21, "case.delivered", "y")),
        logged(tmp_path, "b", (13, "case.delivered", "x"), (14, "x", "late"), (90, "x", "late")),
    ]
    lost = Loss("a", 5.0, frozenset({"x", "y", "survey:copy"}), back=20.0)
    sharing = Sharing(hosts, [lost])
    assert sharing.take_overs() == [8.0]
    assert not list(sharing.problems())
    assert "a 1, b 1" in next(sharing.told())

    forgotten = Loss("b", 15.0, frozenset({"late"}), back=20.0)
    [problem] = Sharing(hosts, [lost, forgotten]).problems()
    assert "the work of b for 75 s" in problem
    [problem] = Sharing([*hosts, logged(tmp_path, "c")], []).problems()
    assert "c has delivered nothing" in problem


# --- what is dropped ------------------------------------------------------------------------------


def test_a_seed_repeats_the_patients():
    """So that a failure can be met again."""
    one, other = (list(Ward(random.Random(4)).patients(300)) for _ in range(2))
    told = [[(each.line.name, each.number, each.broken) for each in some] for some in (one, other)]
    assert told[0] == told[1]
    numbers = [number for each in one for number in each.numbers]
    assert len(set(numbers)) == len(numbers)
    assert {each.line.name for each in one} == set(BY_NAME)


def test_every_change_of_the_config_is_valid_unless_it_is_meant_not_to_be(folders):
    """Ten routes of three kinds of targets; changed in a hundred ways, and put back."""
    [host] = folders.hosts
    group = Group([host])  # whose daemon was never started
    changes = Changes(folders, group, random.Random(3))
    spoiled = 0
    for _ in range(100):
        changes.one()
        if changes.is_spoiled:
            spoiled += 1
            with pytest.raises(errors.ConfigError):
                config.load(host.file)
        else:
            config.load(host.file)
    assert 5 < spoiled < 50
    changes.put_back()
    names = {route.name for route in config.load(host.file).routes}
    assert names - {GUEST.name} == set(BY_NAME)
    kinds = {route.kind for route in config.load(host.file).routes}
    assert kinds == {"algorithm", "reader_study", "archive"}


def test_numbers_come_back_out_of_what_holds_them():
    """From a MetaImage, a DICOM instance and a file."""
    assert patients.number_in_mha(patients.mha(12_345)) == 12_345
    [content, _] = patients.scan(12_345).values()
    assert patients.number_in_dicom(content) == 12_345
    assert json.loads(patients.info(12_345))["case"] == 12_345
