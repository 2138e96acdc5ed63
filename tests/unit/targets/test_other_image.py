"""An import that makes another image than the one that was foretold is told, or fails the case."""

import json

import pytest
from support.builders import Site, mha, series, until
from support.contract import TARGETS

from gcwatch.commands import status
from gcwatch.sandbox import Sandbox, Settings

EACH = pytest.mark.parametrize("kind", sorted(TARGETS))
VOLUME = mha(*range(12)).replace(b"DimSize = 12 1 1", b"DimSize = 2 2 3")
FOUND = "2 x 2 x 2 GRAY, 1 x 2 x 3 mm instead of 2 x 2 x 3 GRAY, 1 x 2 x 3 mm"


@pytest.fixture
def sandbox(tmp_path):
    """An importer that loses the last plane of each volume."""
    with Sandbox(tmp_path / "sandbox", Settings(lost_planes=1)) as sandbox:
        yield sandbox


def site_of(kind, sandbox, folder, **route):
    return Site(folder / "site", sandbox, **{**TARGETS[kind].plain, **route})


def warning_in(file):
    """The text of a status file, once it has a section of warnings."""
    text = " ".join(file.read_text("utf-8-sig").split()) if file.exists() else ""
    return text if "WITH A WARNING" in text else ""


@EACH
def test_another_image_fails_the_case_and_nothing_of_it_is_published(sandbox, tmp_path, kind):
    """The note tells both images in words; no result is in the outbox."""
    site = site_of(kind, sandbox, tmp_path)
    site.drop(files={"image.mha": VOLUME})

    outcome = site.run_once()

    assert (outcome.delivered, outcome.failed) == (0, 1)
    assert site.case().failure.code == "other_image"
    assert FOUND in " ".join(site.note().split())
    assert "another image than the one that was sent" in site.note()
    assert site.delivered() == []


@EACH
def test_where_warnings_are_allowed_the_difference_is_told_everywhere(sandbox, tmp_path, kind):
    """Receipt, status and status file have the warning."""
    site = site_of(kind, sandbox, tmp_path, integrity="warn", report="status.txt")
    site.drop(files={"image.mha": VOLUME})

    with site.running() as watch:
        until(lambda: [case for case in watch.cases() if case.ending == "delivered"])
        view = status.view_of_case(watch, watch.cases()[0])
        told = until(lambda: warning_in(site.folder / "status.txt"))

    assert FOUND in site.receipt()["warnings"][0]
    assert "another image" in " ".join(view.warnings)
    assert "another image" in told


@EACH
def test_a_whole_series_is_the_image_that_was_foretold(tmp_path, kind):
    """Slices are joined and de-identified, and nothing is odd about the platform's volume."""
    with Sandbox(tmp_path / "sandbox") as sandbox:
        [socket] = TARGETS[kind].plain.get("inputs", {"": ""})
        site = site_of(kind, sandbox, tmp_path, **({"inputs": {socket: "**"}} if socket else {}))
        site.drop(files=series())
        assert site.run_once().delivered == 1
    assert site.receipt()["warnings"] == []
    [upload] = site.case().uploads
    assert upload.forecast.shape == (len(series()), 16, 16)


@EACH
def test_an_answer_about_another_image_is_asked_again(tmp_path, kind):
    """A cache that mixes up answers makes no false alarm, and hides none."""
    with Sandbox(tmp_path / "sandbox") as sandbox:
        site = site_of(kind, sandbox, tmp_path)
        body = json.dumps({"pk": "56046a22-bb4f-4477-aec7-6482c4eb564f", "color_space": "RGB"})
        how = {"path": r"cases/images/[0-9a-f-]+/$", "status": 200, "body": body}
        sandbox.fault("status", method="GET", **how)
        site.drop(files={"image.mha": VOLUME})
        assert site.run_once().delivered == 1
    assert site.receipt()["warnings"] == []
