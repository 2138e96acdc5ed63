"""The same images under another name: held while the first folder stands, until somebody asks."""

import io
import json
import shutil

import pydicom
import pytest
from support.builders import Site, check_history, check_results, mha, series, until


@pytest.fixture
def site(tmp_path, sandbox):
    return Site(tmp_path, sandbox, duplicates="hold", report="status.txt")


def case_of(site, name):
    with site.watch() as watch:
        check_history(watch)
        return watch.find(f"lobes/{name}")


def check_held(site, name="p2", other="p1"):
    """It failed with its own reason, its note says so, and nothing of it was sent."""
    case = case_of(site, name)
    assert (case.ending, case.failure.code) == ("failed", "same_images")
    assert case.uploads == ()
    assert f"the same images as {other}, delivered on 20" in site.note(name)
    assert "gcwatch retry" in site.note(name)


def waits_for_twin(case):
    return case.wait is not None and case.wait.reason.code == "same_images_under_way"


def posts(site):
    return sum(call["method"] == "POST" for call in site.sandbox.calls())


def test_the_same_content_under_another_name_is_held(site):
    """Nothing reaches the platform; status file and note name the first folder."""
    site.drop("p1")
    site.run_once()
    before = posts(site)
    site.drop("p2", {"other name.mha": mha()})
    site.run_once()
    check_held(site)
    assert posts(site) == before
    assert len(site.jobs()) == 1
    page = " ".join((site.folder / "status.txt").read_text("utf-8-sig").split())
    assert "the same images as p1, delivered on 20" in page
    site.run_once()
    assert len(site.jobs()) == 1


def test_what_is_held_is_sent_if_somebody_asks(site):
    """`gcwatch retry` is the answer to the note, which disappears."""
    site.drop("p1")
    site.run_once()
    site.drop("p2")
    site.run_once()
    with site.watch() as watch:
        watch.retry(watch.find("lobes/p2"))
    site.run_once()
    assert site.delivered() == ["p1", "p2"]
    check_results(site.sandbox, site.outbox / "p2")
    assert not (site.outbox / "p2.failed.txt").exists()
    assert len(site.jobs()) == 2
    with site.watch() as watch:  # the first one may be sent again, too
        watch.retry(watch.find("lobes/p1"))
    site.run_once()
    assert len(site.jobs()) == 3


@pytest.mark.parametrize("deidentify", [True, False])
@pytest.mark.parametrize("socket", ["image", "set"])
def test_dicom_is_compared_by_its_instances(site, deidentify, socket):
    """De-identified copies are never equal, and other file names or odd headers do not matter."""
    if socket == "set":
        site.configure(
            duplicates="hold",
            deidentify=deidentify,
            algorithm=None,
            archive="ct-archive",
            inputs={"dicom-ct": "**"},
        )
    else:
        site.configure(duplicates="hold", deidentify=deidentify)
    site.drop("p1", series())
    site.run_once()
    assert site.delivered() == ["p1"]
    site.drop("p2", {f"again/{number}.ima": data for number, data in enumerate(series().values())})
    site.run_once()
    check_held(site)
    fewer = dict(list(series().items())[:-1])
    site.drop("p3", fewer)
    site.run_once()
    assert site.delivered() == ["p1", "p3"]


def test_of_two_equal_folders_at_the_same_time_one_is_sent(site):
    """The second waits for the first, and is held when that is delivered."""
    site.drop("p1")
    site.drop("p2")
    site.run_once()
    [sent] = site.delivered()
    held = {"p1": "p2", "p2": "p1"}[sent]
    check_held(site, held, sent)
    assert len(site.jobs()) == 1


def large_image(voxel=0):
    """A MetaImage of 17 MiB: two parts of an upload."""
    head, voxels = mha(*[voxel] * 17, code="b", element="MET_CHAR").split(b"LOCAL\n")
    size = f"DimSize = 17 {1 << 10} {1 << 10}".encode()
    return head.replace(b"DimSize = 17 1 1", size) + b"LOCAL\n" + voxels * (1 << 20)


def kinds_of(site, name):
    with site.watch() as watch:
        return [each.event.kind for each in watch.history(watch.find(f"lobes/{name}"))]


def test_a_large_file_is_compared_while_its_first_parts_are_sent(site):
    """What it is known to be is on record before the upload is complete, and holds the next one.

    Of a folder of the same size nothing is sent before that is known; of another size, its upload
    is never complete.
    """
    site.drop("p1", {"image.mha": large_image()})
    site.run_once()
    began, known, complete = "upload_started", "content_identified", "upload_completed"
    assert [kind for kind in kinds_of(site, "p1") if kind in {began, known, complete}] == [
        began,
        known,
        complete,
    ]
    before = posts(site)
    site.drop("p2", {"image.mha": large_image()})
    site.run_once()
    check_held(site)
    assert posts(site) == before
    site.drop("p3", {"image.mha": large_image(), "notes.txt": b"of another size"})
    site.run_once()
    held = case_of(site, "p3")
    assert (held.ending, held.failure.code) == ("failed", "same_images")
    assert [upload.completed for upload in held.uploads] == [False]
    assert site.delivered() == ["p1"]
    site.drop("p4", {"image.mha": large_image(1)})
    site.run_once()
    assert site.delivered() == ["p1", "p4"]
    assert len(site.jobs()) == 2


@pytest.mark.parametrize("deidentify", [True, False])
def test_a_header_and_its_data_are_compared_by_their_bytes(site, deidentify):
    """Also if they go out as a zip that is written while it is sent."""
    site.configure(duplicates="hold", deidentify=deidentify)
    head, voxels = mha().split(b"LOCAL\n")
    pair = {"image.mhd": head + b"image.raw\n", "image.raw": voxels}
    for name in ("p1", "p2"):
        site.drop(name, pair)
        site.run_once()
    assert site.delivered() == ["p1"]
    check_held(site)


def test_a_folder_waits_for_its_twin_and_is_sent_if_that_fails(site):
    """A case that failed is no ground to hold another one."""
    site.sandbox.configure(job_seconds=3600, average_duration=0)
    site.drop("p1")
    with site.running() as watch:
        until(lambda: watch.cases() and watch.cases()[0].status)
        site.drop("p2")
        until(lambda: any(map(waits_for_twin, watch.cases())))
        watch.withdraw(watch.find("lobes/p1"))
        until(lambda: len(site.jobs()) == 2)
        site.sandbox.advance(3600)
        until(lambda: site.delivered() == ["p2"])


@pytest.mark.parametrize("route", [{"after": "delete"}, {"after": "move", "done": "done"}, {}])
def test_what_no_longer_stands_in_the_inbox_is_no_ground_to_hold(site, route):
    """A folder that gcwatch or a person removed is not compared with."""
    site.configure(duplicates="hold", **route)
    site.drop("p0", {"image.mha": mha(0)})
    site.drop("p1")
    site.run_once()
    shutil.rmtree(site.inbox / "p1", ignore_errors=True)
    site.drop("p2")
    site.run_once()
    assert {"p1", "p2"} <= set(site.delivered())


def test_the_same_image_with_another_value_is_another_case(site):
    """What else goes to the algorithm counts as well."""
    site.configure(
        duplicates="hold",
        algorithm="threshold",
        inputs={"ct-image": "*.mha", "threshold": {"json": "threshold.json"}},
    )
    for name, threshold in (("p1", 0.5), ("p2", 0.7), ("p3", 0.5)):
        site.drop(name, {"ct.mha": mha(), "threshold.json": json.dumps(threshold).encode()})
        site.run_once()
    assert site.delivered() == ["p1", "p2"]
    check_held(site, "p3")


def test_a_route_may_send_the_same_again(site):
    """`duplicates = "send"` switches the comparison off, and on again with what comes then."""
    site.configure(duplicates="send")
    site.drop("p1")
    site.drop("p2")
    site.run_once()
    assert site.delivered() == ["p1", "p2"]


def test_two_routes_are_not_compared(site):
    """The same folder may go to two algorithms."""
    site.drop("p1")
    other = site.file.read_text().split("[[route]]")[1]
    (site.folder / "in2").mkdir()
    (site.folder / "out2").mkdir()
    other = other.replace('"lobes"', '"other"').replace('"in"', '"in2"').replace('"out"', '"out2"')
    with site.file.open("a") as file:
        file.write("\n[[route]]\n" + other.replace('report = "status.txt"', ""))
    shutil.copytree(site.inbox / "p1", site.folder / "in2" / "p2")
    site.run_once()
    assert len(site.jobs()) == 2


def test_a_new_study_of_a_patient_is_not_held(site):
    """Other instances in files of the same names."""
    site.drop("p1", series())
    site.run_once()
    site.drop(
        "p2",
        {name: _new_instance(data, number) for number, (name, data) in enumerate(series().items())},
    )
    site.run_once()
    assert site.delivered() == ["p1", "p2"]


def _new_instance(data, number):
    found = pydicom.dcmread(io.BytesIO(data))
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number + 1}"
    out = io.BytesIO()
    found.save_as(out)
    return out.getvalue()


def test_equal_results_of_two_cases_are_both_sent(site):
    """Two patients may have the same empty mask; a copy of one result under a new name is held."""
    for name, key in (("p1", "masks-aaaaaaaa"), ("p2", "masks-bbbbbbbb")):
        site.drop(name, {"mask.mha": mha(), "gcwatch.json": json.dumps({"key": key}).encode()})
        site.run_once()
    assert site.delivered() == ["p1", "p2"]
    shutil.copytree(site.inbox / "p2", site.inbox / "p3")
    site.run_once()
    check_held(site, "p3", "p2")
