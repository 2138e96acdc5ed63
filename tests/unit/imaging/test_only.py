"""Which series of a folder are taken (`only`): from the headers that are read anyway."""

import pydicom
import pytest
from support.builders import Site, series, until, xray
from support.slices import one_slice

from gcwatch import config
from gcwatch.commands.plan import plan
from gcwatch.config.values.only import _only
from gcwatch.core.errors import CannotSend, ConfigError
from gcwatch.files.beneath import SharePath
from gcwatch.imaging import images, sorting
from gcwatch.imaging.dicom import headers
from gcwatch.imaging.series import group_series
from gcwatch.inbox.tree import source_files

THIN = {"Modality": "CT", "SliceThickness": "<=1.5", "SeriesDescription": "/lung/i"}
FITTING = {"Modality": "CT", "SliceThickness": "1.0", "SeriesDescription": "Lung 1.0"}


def uid(name):
    return f"1.2.{int.from_bytes(name.encode(), 'big')}"


def add(folder, name, count=3, first=0, **more):
    """A series of slices in a folder of its own."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        path = folder / name / f"{uid(name)}.{number}"
        one_slice(path, number, (0, 0, float(number)), SeriesInstanceUID=uid(name), **more)


def listed(folder):
    return source_files(SharePath(folder))


def recognised(folder, only=THIN):
    return images.recognise_images(listed(folder), only=_only(only))


def test_of_several_series_the_one_that_fits_is_taken(tmp_path):
    """A scout and thick slices beside it: one image, and the others are named with why."""
    add(tmp_path, "thin", SeriesNumber=4, **FITTING)
    add(tmp_path, "thick", SeriesNumber=3, **FITTING | {"SliceThickness": "5"})
    add(tmp_path, "scout", 1, SeriesNumber=1, Modality="CT", SeriesDescription="Topogram")
    [image], left = recognised(tmp_path)
    assert {file.name.partition("/")[0] for file in image.files} == {"thin"}
    assert left == 4
    [reason] = image.not_taken
    assert (reason.code, reason.facts) == ("series_not_taken", {"count": 2})
    assert set(reason.names["series"].split("; ")) == {
        'series 3 "Lung 1.0" (3 files): SliceThickness is 5, not <=1.5',
        'series 1 "Topogram" (1 file): SliceThickness is missing',
    }


def test_if_nothing_fits_it_is_refused_with_the_reasons(tmp_path):
    """Whoever dropped it reads what is there and what is wanted."""
    add(tmp_path, "scout", Modality="CT", SliceThickness="1", SeriesDescription="Topogram")
    with pytest.raises(CannotSend) as refused:
        recognised(tmp_path)
    reason = refused.value.reason
    assert reason.code == "no_series_fits"
    assert "SeriesDescription is Topogram, not /lung/i" in reason.names["series"]
    assert not {str(each) for each in reason.facts.values()} & {"Topogram"}


def test_a_series_of_which_only_some_files_fit_is_not_taken(tmp_path):
    """Half of a series is no series."""
    add(tmp_path, "thin", **FITTING)
    add(tmp_path, "thin", 1, first=3, **FITTING | {"SliceThickness": "3"})
    with pytest.raises(CannotSend) as refused:
        recognised(tmp_path)
    assert "SliceThickness is 3, not <=1.5 (in 1 of them)" in refused.value.reason.names["series"]


def test_other_images_are_not_touched_by_rules_for_series(tmp_path):
    """An MHA has no Modality; it is taken as without the rules."""
    (tmp_path / "scan.mha").write_bytes(
        b"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
        b"ElementDataFile = LOCAL\n12345678"
    )
    add(tmp_path, "scout", 1, Modality="CT")
    [image], _ = recognised(tmp_path)
    assert image.kind == "MetaImage"
    assert image.not_taken


def test_a_broken_series_that_is_not_wanted_does_no_harm(tmp_path):
    """Two slices at one place refuse a series, but not the one beside it."""
    add(tmp_path, "thin", **FITTING)
    (tmp_path / "scout").mkdir()
    for number in range(2):
        one_slice(tmp_path / "scout" / f"{number}", 1, (0, 0, 0), SeriesInstanceUID="1.9")
    [image], _ = recognised(tmp_path)
    assert not image.warnings


def test_each_header_is_read_once(tmp_path, monkeypatch):
    """The elements come with the pass that reads everything else."""
    add(tmp_path, "thin", **FITTING)
    opened, usual = [], sorting.open_unchanged
    monkeypatch.setattr(sorting, "open_unchanged", lambda f: opened.append(f.name) or usual(f))
    recognised(tmp_path)
    assert len(opened) == 3


@pytest.fixture
def dataset(tmp_path):
    one_slice(tmp_path / "1", 7, (0, 0, 5))
    return pydicom.dcmread(tmp_path / "1")


def test_elements_of_each_kind_come_as_text(dataset, tmp_path):
    """Text, numbers as text, binary numbers, other alphabets, several values, none."""
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SeriesDescription, dataset.SliceThickness = "Thöräx", "1.50"
    dataset.ImageType, dataset.RepetitionTime = ["ORIGINAL", "PRIMARY"], None
    wanted = {
        "SliceThickness": "1.50",
        "ImageType": r"ORIGINAL\PRIMARY",
        "Rows": "2",
        "InstanceNumber": "7",
        "ImagePositionPatient": r"0.0\0.0\5.0",
        "RepetitionTime": "",
        "EchoTime": None,
    }
    for description in ("Thöräx", "Thorax"):  # the first one is read by pydicom
        dataset.SeriesDescription = description
        dataset.save_as(tmp_path / "file", enforce_file_format=True)
        with (tmp_path / "file").open("rb") as stream:
            found = headers.read_header(stream, ("SeriesDescription", *wanted)).asked
        assert found == (description, *wanted.values())


def test_japanese_text_is_read_as_such(dataset, tmp_path):
    """ISO 2022 has only ASCII bytes; it is no ASCII."""
    dataset.SpecificCharacterSet = ["", "ISO 2022 IR 87"]
    dataset.SeriesDescription = "肺"
    path = tmp_path / "file"
    dataset.save_as(path, enforce_file_format=True)
    with path.open("rb") as stream:
        assert headers.read_header(stream, ("SeriesDescription",)).asked == ("肺",)


def test_with_series_as_cases_only_fitting_series_are_cases(tmp_path):
    """The others are told beside them."""
    add(tmp_path, "thin", **FITTING)
    add(tmp_path, "scout", 1, Modality="CT")
    found = group_series(listed(tmp_path), _only(THIN))
    assert len(found.series) == 1
    assert found.not_taken == ("series (1 file): SliceThickness is missing",)


# --- the config ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only", "complaint", "hint"),
    [
        ({"SliceThicknes": "<1"}, 'names no DICOM element: "SliceThicknes"', "SliceThickness"),
        ({"slice thickness": "<1"}, "names no DICOM element", "SliceThickness"),
        ({"0018,0050": "<1"}, "names no DICOM element", "Modality"),
        ({"PixelData": "x"}, "can't compare PixelData", "Modality"),
        ({"ReferencedImageSequence": "x"}, "can't compare ReferencedImageSequence", "Modality"),
        ({"TransferSyntaxUID": "1.2"}, "can't compare TransferSyntaxUID", "Modality"),
        ({"SliceThickness": "thin"}, "has a wrong value for SliceThickness: it is no number", ""),
        ({"SeriesDescription": "/(a+)+/"}, "it repeats a group", ""),
    ],
)
def test_a_wrong_rule_is_refused_when_the_config_is_read(tmp_path, sandbox, only, complaint, hint):
    """With the keyword that was meant, if it is near."""
    site = Site(tmp_path, sandbox, only=only)
    with pytest.raises(ConfigError) as refused:
        config.load(site.file)
    [problem] = refused.value.problems
    assert complaint in problem.message
    assert hint in problem.hint


# --- the whole way -------------------------------------------------------------------------------


def paper(site):
    path = site.folder / "status.txt"
    return path.read_text("utf-8-sig") if path.exists() else ""


TWO = {f"ct/{name}": content for name, content in series().items()} | {
    f"cr/{name}": content for name, content in xray().items()
}


def test_the_folder_is_sent_and_the_rest_is_named(tmp_path, sandbox):
    """In the plan, in the status file while it is sent, in `show`, and in the receipt."""
    site = Site(tmp_path, sandbox, only={"Modality": "CT"}, report="status.txt")
    site.drop("p1", TWO)
    [planned] = plan(config.load(site.file))
    assert planned.folders[0].verdict == "send"
    assert "Modality is CR, not CT" in planned.folders[0].not_taken[0].names["series"]
    site.run_once()
    assert site.delivered() == ["p1"]
    assert "Modality is CR, not CT" in site.receipt()["not_taken"][0]
    case = site.case()
    assert case.not_taken[0].code == "series_not_taken"
    assert not case.warnings


def test_a_folder_without_a_fitting_series_fails_in_words(tmp_path, sandbox):
    """For whoever dropped it, and for IT."""
    site = Site(tmp_path, sandbox, only={"Modality": "PT"})
    site.drop("p1", TWO)
    site.run_once()
    assert "This folder contains no series that is wanted here." in site.note()
    assert "Modality is CR, not PT" in site.note()
    assert not site.jobs()


def test_series_that_are_not_taken_are_no_cases_and_are_named(tmp_path, sandbox):
    """With `cases = "series"`: one case, and the status file names what is not sent."""
    site = Site(tmp_path, sandbox, cases="series", only={"Modality": "CT"}, report="status.txt")
    site.drop("p1", TWO)
    site.drop("p2", xray())
    with site.running():
        until(lambda: len(site.jobs()) == 1 and "NOT SENT" in paper(site))
        text = " ".join(paper(site).split())
        assert "1 series not taken: p1, series" in text
        assert "Modality is CR, not CT" in text
        until((site.outbox / "p2.failed.txt").exists)
    assert "no series that is wanted here" in site.note("p2")
