"""A case goes on after its spool is lost, as on another host: what the platform has, fits still."""

import shutil
import threading
from functools import partial

import pytest
from support import slices
from support.builders import Site, check_history, check_nothing_half_done, sha256, until
from support.contract import TARGETS
from support.victims import SIGKILLED, die_at_every_kind

from gcwatch.files.key_file import KEY_FILE
from gcwatch.steps.upload import FILES_PER_RECORD

PIXELS = 2400
LARGE = {"Rows": PIXELS, "Columns": PIXELS, "PixelData": bytes(2 * PIXELS * PIXELS)}
"""What makes three slices three parts."""
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


def parts_begun(site):
    return [call for call in site.sandbox.calls() if call["method"] == "PUT"]


def parts_sent(site):
    return sum(call["applied"] for call in parts_begun(site))


def check_delivered(site):
    assert site.delivered() == ["p1"]
    assert [job["status"] for job in site.jobs()] == ["Succeeded"]
    with site.watch() as watch:
        check_history(watch)


def test_only_the_parts_that_are_missing_are_sent(victims, sandbox, tmp_path):
    """A host dies after one part of three; the next one spools the same bytes."""
    site = Site(tmp_path, sandbox)
    site.configure(limits={"connections": 1})
    drop_series(site, 3, **LARGE)
    die(victims, site, BEGUN + 1)
    assert parts_sent(site) == 1

    assert victims.live(site) == 0

    assert parts_sent(site) == 3
    assert recorded(site).count("upload_started") == 1
    check_delivered(site)


@pytest.mark.prove
def test_another_host_goes_on_with_an_upload(sandbox, database, tmp_path):
    """It has nothing of the first one but the journal that they share, and the inbox."""
    site = Site(tmp_path, sandbox)
    site.configure(limits={"connections": 1})
    site.file.write_text(f'journal = "{database}"\n{site.file.read_text()}')
    drop_series(site, 3, **LARGE)
    sandbox.fault("delay", method="PUT", host="storage", nth=2, times=None, seconds=100)
    stop = threading.Event()
    with site.running(stop=stop):
        until(lambda: len(parts_begun(site)) == 2)
        stop.set()
        sandbox.clear_faults()
    sent = parts_sent(site)
    shutil.rmtree(site.state)

    site.run_once()

    assert 1 <= sent <= 2
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
