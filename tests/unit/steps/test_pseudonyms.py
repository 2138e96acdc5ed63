"""Pseudonyms: from the hospital's table, or a keyed hash; the same patient always the same one."""

import io
import json
import re
import stat
import threading

import pydicom
import pytest
from support.builders import Site, mha, series
from support.slices import one_slice

from gcwatch import config
from gcwatch.commands.removals import show_removals
from gcwatch.core import events, folding
from gcwatch.core.case import Case, Input, Target
from gcwatch.core.errors import ConfigError, TryAgain
from gcwatch.core.tables.pseudonym_format import parse_pseudonyms
from gcwatch.files.beneath import SharePath
from gcwatch.files.key_file import KEY_FILE, read_key, read_or_make_key
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.deidentification.deidentify import DicomRules
from gcwatch.inbox import tree
from gcwatch.steps.judgement import FolderToJudge, make_bundles
from gcwatch.steps.pseudonyms import example_key

ARCHIVE = {"algorithm": None, "archive": "ct-archive", "inputs": {"ct-image": "**/*"}}
PLACE = "PatientID (0010,0020)"
IDENTIFIER = "98890234"
"""The PatientID of the series."""


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox)


def write_table(site, text, **route):
    (site.folder / "names.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    site.configure(pseudonyms="names.csv", **ARCHIVE, **route)


# --- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "column", "name"),
    [
        (b"folder,pseudonym\np17,S 1\n", "folder", "p17"),
        (b"\xef\xbb\xbfFolder;Pseudonym\r\np17;S 1\r\n\r\n", "folder", "p17"),
        (b'"PatientID"\t"pseudonym"\n" 007 "\tS 1\n', "PatientID", "007"),
        (b'patient_id,pseudonym\n"Doe, Jane",S 1', "PatientID", "Doe, Jane"),
        ("folder,pseudonym\nMu\u0308ller,S 1".encode(), "folder", "M\u00fcller"),
    ],
)
def test_tables_of_spreadsheets_are_read(content, column, name):
    """Commas, semicolons or tabs, with a byte-order mark, quotes, and letters of two parts."""
    table = parse_pseudonyms(content)
    assert (table.column, table.find(name), table.find("other")) == (column, "S 1", "")


BAD_TABLES = {
    b"": "begin with",
    b"p17,S1\n": "begin with",
    b"folder,PatientID,pseudonym\na,b,c\n": "begin with",
    b"folder,pseudonym\nDOE,S1\nDOE,S2\n": "twice: line 3",
    b"folder,pseudonym\nDOE,S1\n DOE,S1\n": "twice: line 3",
    b"folder,pseudonym\nDOE\n": "two fields in line 2",
    b"folder,pseudonym\n,S1\n": "no name in line 2",
    b"folder,pseudonym\nDOE,\n": "no usable pseudonym in line 2",
    b"folder,pseudonym\nDOE,doe\n": "its own pseudonym in line 2",
    b"folder,pseudonym\nDOE,A^B\n": "no usable pseudonym in line 2",
    b"folder,pseudonym\nDOE," + b"x" * 65: "no usable pseudonym in line 2",
    b"folder,pseudonym\nD\xffE,S1\n": "UTF-8",
    b'folder,pseudonym\n"DOE,S1\n': "quotes",
    b"folder,pseudonym\n" + b"\n" * 200_001: "lines",
}


@pytest.mark.parametrize("content", BAD_TABLES, ids=BAD_TABLES.values())
def test_a_wrong_table_is_told_without_names(content):
    """The message goes into logs: it has the number of the line, never what stands there."""
    with pytest.raises(ValueError, match=BAD_TABLES[content]) as caught:
        parse_pseudonyms(content)
    assert not re.search(r"\bdoe\b", str(caught.value).lower())


# --- cases ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["folder", "PatientID"])
def test_titles_and_patients_come_from_the_table(site, column):
    """Two cases of one patient have one pseudonym, and titles of their own."""
    names = ["p1", "p2"] if column == "folder" else [IDENTIFIER]
    rows = "".join(f"{name},Subject 7\n" for name in names)
    write_table(site, f"{column},pseudonym\n{rows}")
    titles = set()
    for name in ("p1", "p2"):
        site.drop(name, series())
        site.run_once()
        case = site.case(name)
        assert case.ending == "delivered"
        assert case.pseudonym == "Subject 7"
        titles.add(case.target.title)
    assert all(re.fullmatch("Subject 7 [a-z0-9]{8}", title) for title in titles)
    assert len(titles) == 2
    [shown, _] = show_removals(config.load(site.file), offline=True)
    assert [each.by for group in shown.groups for each in group.changes if each.place == PLACE] == [
        '"Subject 7"'
    ]
    said = (site.folder / "log.jsonl").read_text() if (site.folder / "log.jsonl").exists() else ""
    assert "Subject" not in said
    assert IDENTIFIER not in json.dumps(site.receipt("p1"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "pseudonym_table"),
        ("PatientID;pseudonym\n1;A\n1;A\n", "pseudonym_table"),
        (f"folder,pseudonym\n{IDENTIFIER},A\n", "no_pseudonym"),
        ("PatientID,pseudonym\np1,A\n", "no_pseudonym"),
    ],
)
def test_without_a_pseudonym_nothing_is_sent(site, text, code):
    """The case fails with a reason of its own before the platform is asked for anything."""
    write_table(site, text or "")
    if text is None:
        (site.folder / "names.csv").unlink()
    site.drop("p1", series())
    site.run_once()
    assert site.case().failure.code == code
    assert not site.sandbox.state()["counts"]["uploads"]
    assert "pseudonym" in site.note()


def test_images_without_a_patient_need_a_table_by_folder(site):
    """A table by PatientID can't have a row for them."""
    write_table(site, "PatientID,pseudonym\n1,A\n")
    site.drop("p1", {"image.mha": mha()})
    site.run_once()
    assert site.case().failure.facts["problem"] == "no file has a PatientID"


def test_images_of_several_patients_have_no_pseudonym(site):
    """Which of them would be right, nobody can tell."""
    write_table(site, "PatientID,pseudonym\n1,A\n2,B\n")
    site.drop("p1", {})
    for number in (1, 2):
        one_slice(site.inbox / "p1" / str(number), number, PatientID=str(number))
    site.run_once()
    assert site.case().failure.code == "several_pseudonyms"


@pytest.mark.parametrize(
    "route",
    [{"names": "keep"}, {"deidentify": False}, {"pseudonyms": None, "title": "{pseudonym}"}],
)
def test_what_does_not_go_with_pseudonyms_is_a_mistake_of_the_config(site, route):
    """Names beside a pseudonym, and a pseudonym without a table."""
    site.configure(**({"pseudonyms": "names.csv"} | ARCHIVE | route))
    with pytest.raises(ConfigError):
        config.load(site.file)


def test_a_planned_case_keeps_its_pseudonym(site, tmp_path):
    """After a crash, and without the table, its files are made with the same PatientID."""
    write_table(site, "folder,pseudonym\np1,A\n")
    site.drop("p1", series())
    [route] = config.load(site.file).routes
    files = tree.source_files(SharePath.of(site.inbox / "p1"), ())
    item = Input("ct-image", "image", "**/*")
    case = Case("lobes-1", "lobes", "p1", found=0, touched=0)
    planned = events.Planned((item,), Target("1", "x", "ct-archive"), pseudonym="A")
    case = folding.apply_event(case, planned, 1.0)
    (site.folder / "names.csv").unlink()
    folder = FolderToJudge(case.key, 1, "p1", files, case.pseudonym, b"k" * 32)
    ids = []
    for spool in ("one", "two"):
        made = make_bundles([item], [item], folder, route, tmp_path / spool)
        each = made["ct-image"][0].written()
        ids.append(b"A \x10\x00" in each.file.read_bytes())
        again = make_bundles([item], [item], folder, route, tmp_path / spool)
        assert again["ct-image"][0].file.read_bytes() == each.file.read_bytes()
    assert ids == [True, True]


# --- the hash ------------------------------------------------------------------------------------


def sent(folder, spool, rules, send=bundle.image_bundle, **options):
    files = tree.source_files(SharePath.of(folder), ())
    chosen = BundleOptions(socket="image", rules=rules, **options)
    made = send(files, chosen, spool=spool, stem="k")
    file = made[0].file if isinstance(made, tuple) else made.written().file
    return pydicom.dcmread(io.BytesIO(file.read_bytes()))


def image(tmp_path, name="1", **more):
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    one_slice(folder / "1", 1, (0, 0, 0), **more)
    return folder


def hashed(key=b"k" * 32, **more):
    return DicomRules(secret_key=key, **more)


def uids(dataset):
    return {each.keyword: each.value for each in dataset if each.VR == "UI"}


def test_a_patient_has_one_hash(tmp_path):
    """The same in every case; another one with another key; never the ID itself."""
    folder = image(tmp_path, PatientID="0815")
    options = {"keep_names": False}
    one, two, other = (
        sent(folder, tmp_path / f"spool{number}", hashed(key), **options).PatientID
        for number, key in enumerate((b"k" * 32, b"k" * 32, b"o" * 32))
    )
    assert one == two != other
    assert re.fullmatch("[a-z2-7]{26}", one)


@pytest.mark.parametrize("syntax", ["implicit", "explicit"])
@pytest.mark.parametrize("rules", [hashed(), hashed(pseudonym="S 17")], ids=["hash", "table"])
def test_the_pass_and_the_library_agree(tmp_path, syntax, rules):
    """A file that the quick pass leaves to the library gets the same PatientID and UIDs."""
    folder = image(tmp_path, PatientID="0815", FrameOfReferenceUID="1.2.3")
    dataset = pydicom.dcmread(folder / "1")
    if syntax == "implicit":
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        dataset.save_as(folder / "1")
    options = {"keep_names": False}
    quick = sent(folder, tmp_path / "quick", rules, **options)
    dataset.WindowCenter = "40.0"
    dataset.save_as(folder / "1")
    content = (folder / "1").read_bytes()
    (folder / "1").write_bytes(content.replace(b"40.0", b" 40."))  # the library writes it anew
    slow = sent(folder, tmp_path / "slow", rules, **options)
    assert slow.PatientID == quick.PatientID
    assert uids(slow) == uids(quick)
    assert quick.FrameOfReferenceUID.startswith("2.25.")
    assert slow.WindowCenter == 40


def test_without_an_id_there_is_no_hash(tmp_path):
    """Else all patients without one would be the same patient."""
    folder = image(tmp_path, PatientID="")
    assert sent(folder, tmp_path / "s", hashed(), keep_names=False).PatientID == "DUMMY_LONG_STRING"


def test_an_image_set_keeps_the_platform_s_procedure(tmp_path):
    """Also with a table: its PatientID is what the platform's procedure says."""
    folder = image(tmp_path, PatientID="0815")
    rules = DicomRules(pseudonym="S17", secret_key=b"k" * 32)
    assert sent(folder, tmp_path / "s", rules, bundle.dicom_set).PatientID == "DUMMY_LONG_STRING"


def test_the_key_is_never_shown():
    """Not in a log of what was called with it, nor in the digest of a spool."""
    assert "kkkk" not in repr(hashed())
    assert "kkkk" not in repr(FolderToJudge("a", 1, "b", (), "", b"k" * 32))


def test_the_key_is_made_once(tmp_path):
    """By the first of several makers; its owner alone can read it."""
    found = []
    makers = [
        threading.Thread(target=lambda: found.append(read_or_make_key(tmp_path))) for _ in range(8)
    ]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert len(set(found)) == 1
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_damaged_key_is_never_replaced(tmp_path):
    """Another key would give the same patients other pseudonyms."""
    assert read_key(tmp_path) is None
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(TryAgain):
        read_or_make_key(tmp_path)
    assert (tmp_path / KEY_FILE).read_bytes() == b"short"


def test_restored_state_gives_the_same_hash(site):
    """The key is in the state directory; what is sent before and after has one PatientID."""
    site.drop("p1", series())
    site.run_once()
    key = (site.state / KEY_FILE).read_bytes()
    site.drop("p2", series())
    site.run_once()
    assert (site.state / KEY_FILE).read_bytes() == key
    shown = {
        each.by
        for folder in show_removals(config.load(site.file), offline=True)
        for group in folder.groups
        for each in group.changes
        if each.place == PLACE
    }
    assert len(shown) == 1


def test_hosts_that_share_a_journal_share_the_key(site, database):
    """It is in the journal, and in no state directory: a plan shows what any host sends."""
    site.file.write_text(f'journal = "{database}"\n{site.file.read_text()}')
    key = example_key(config.load(site.file))
    site.drop("p1", series())
    site.run_once()
    assert site.delivered() == ["p1"]
    assert not (site.state / KEY_FILE).exists()
    with site.watch() as watch:
        assert watch.journal.shared_key() == key
