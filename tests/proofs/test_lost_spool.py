"""A case goes on after its spool is lost, as on another host: what the platform has, fits still."""

import shutil
from functools import partial

import pytest
from support import slices
from support.builders import Site, check_history, check_nothing_half_done, sha256
from support.contract import TARGETS
from support.victims import SIGKILLED, die_at_every_kind

from gcwatch.files.key_file import KEY_FILE
from gcwatch.steps.upload import FILES_PER_RECORD

PIXELS = 2400
"""Rows and columns of a slice: three of them are three parts."""
BEGUN = 1
"""Writes to the platform until an upload has begun."""


def drop_series(site, count, **more):
    folder = site.folder / "made"
    folder.mkdir()
    slices.series(folder, range(count), **more)
    site.drop(files={path.name: path.read_bytes() for path in folder.iterdir()})


def lose_spool(site):
    """Leave of the state directory what hosts share: the journal and the key."""
    shutil.rmtree(site.state / "spool", ignore_errors=True)


def die(victims, site, writes):
    """Let a daemon die after so many writes to the platform, and lose its spool."""
    assert victims.live(site, platform_write=writes) == SIGKILLED
    lose_spool(site)


def recorded(site):
    with site.watch() as watch:
        return [each.event.kind for case in watch.journal.cases() for each in watch.history(case)]


def parts_sent(site):
    calls = site.sandbox.calls()
    return sum(call["method"] == "PUT" and call["applied"] for call in calls)


def check_delivered(site):
    assert site.delivered() == ["p1"]
    assert [job["status"] for job in site.jobs()] == ["Succeeded"]
    with site.watch() as watch:
        check_history(watch)


def test_only_the_parts_that_are_missing_are_sent(victims, sandbox, tmp_path):
    """A host dies after one part of three; the next one spools the same bytes."""
    site = Site(tmp_path, sandbox)
    site.configure(limits={"connections": 1})
    size = {"Rows": PIXELS, "Columns": PIXELS, "PixelData": bytes(2 * PIXELS * PIXELS)}
    drop_series(site, 3, **size)
    die(victims, site, BEGUN + 1)
    assert parts_sent(site) == 1

    assert victims.live(site) == 0

    assert parts_sent(site) == 3
    assert recorded(site).count("upload_started") == 1
    check_delivered(site)


def test_an_upload_that_was_just_completed_is_not_begun_anew(victims, sandbox, tmp_path):
    """It is used, and its SHA-256 is that of the same bytes."""
    site = Site(tmp_path, sandbox)
    drop_series(site, 3)
    die(victims, site, BEGUN + 2)
    (stored,) = site.sandbox.platform_state.uploads.values()
    sent = sha256(stored.parts[1].path.read_bytes())

    assert victims.live(site) == 0

    assert parts_sent(site) == recorded(site).count("upload_started") == 1
    check_delivered(site)
    (upload,) = site.case().uploads
    assert upload.sha256 == sent


def test_the_files_of_a_set_keep_belonging_together(victims, sandbox, tmp_path):
    """The platform takes no set of two series: those that another host sends have the same UIDs."""
    site = Site(tmp_path, sandbox, algorithm="dicom-in", inputs={"dicom-ct": "**"})
    drop_series(site, FILES_PER_RECORD + 1)
    die(victims, site, FILES_PER_RECORD * (BEGUN + 2) + BEGUN)
    assert "files_uploaded" in recorded(site)

    assert victims.live(site) == 0

    assert parts_sent(site) == FILES_PER_RECORD + 1
    check_delivered(site)


def test_what_fits_no_longer_is_sent_again(victims, sandbox, tmp_path):
    """With another key the bytes are other ones: those of the earlier upload are never used."""
    site = Site(tmp_path, sandbox)
    drop_series(site, 3)
    die(victims, site, BEGUN + 1)
    assert parts_sent(site) == 1
    (site.state / KEY_FILE).unlink()

    assert victims.live(site) == 0

    assert parts_sent(site) == 2
    check_delivered(site)


@pytest.mark.prove
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("algorithm", "series"), ("archive", "series"), ("reader_study", "dicom_set")],
)
def test_a_folder_becomes_one_thing_though_each_death_loses_the_spool(
    victims, tmp_path, kind, name
):
    """SIGKILL at each kind of commit, reply and file change, and no spool after it."""
    target = TARGETS[kind]
    variant = target.variants[name]
    with target.dropped(tmp_path, variant) as site:

        def check():
            check_nothing_half_done(site.outbox, variant.patients)
            lose_spool(site)

        dead = die_at_every_kind(partial(victims.live, site), tmp_path / "points", check)

        target.check_one_each(site, variant)
        assert len(dead) >= 30
        if name == "series":
            assert parts_sent(site) == recorded(site).count("upload_started") == 1
