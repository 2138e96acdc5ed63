"""What becomes of a folder that is corrected after its case failed, or changes after delivery."""

import io
import shutil
from dataclasses import replace

import pytest
from support.builders import FAST, Clock, Site, check_history, mha, until

from gcwatch import config, log
from gcwatch.core import events

SETTLE_SECONDS = 3600


@pytest.fixture
def site(tmp_path, sandbox):
    """A site whose log is written down."""
    site = Site(tmp_path / "site", sandbox)
    log.configure(config.load(site.file).log, stream=io.StringIO())
    return site


def happened(watch, kind, name="p1"):
    """How often a folder's latest case had an event of this kind."""
    history = watch.history(watch.find(f"lobes/{name}"))
    return sum(isinstance(recorded.event, kind) for recorded in history)


def ends(watch, ending, name="p1"):
    """Wait until a folder's latest case has ended so."""
    until(lambda: [case for case in watch.cases() if (case.folder, case.ending) == (name, ending)])


# --- a failed case -------------------------------------------------------------------------------


def overwrite(site):
    """Write good content into the damaged file."""
    (site.inbox / "p1" / "scan" / "image.mha").write_bytes(mha(4, 2))


def replace_folder(site):
    """Put another folder of that name in its place, as quickly as that goes."""
    shutil.rmtree(site.inbox / "p1")
    site.drop("p1", {"scan/image.mha": mha(4, 2)})


def add_and_remove(site):
    """Add a good file, then remove the damaged one."""
    (site.inbox / "p1" / "scan" / "better.mha").write_bytes(mha(4, 2))
    (site.inbox / "p1" / "scan" / "image.mha").unlink()


CORRECTIONS = [overwrite, replace_folder, add_and_remove]


@pytest.mark.parametrize("correct", CORRECTIONS)
def test_a_failed_case_is_tried_again_once_its_folder_is_corrected(site, correct):
    """Nobody has to ask for it; the failure note disappears with the failure."""
    site.drop("p1", {"scan/image.mha": b""})
    with site.running() as watch:
        until(lambda: site.said("case.explained"))

        correct(site)

        until(lambda: site.delivered() == ["p1"])
        ends(watch, "delivered")
        check_history(watch)
    assert len(site.jobs()) == 1
    assert [path.name for path in site.outbox.iterdir()] == ["p1"]
    assert len(site.said("case.corrected")) == 1


@pytest.mark.parametrize("correct", CORRECTIONS)
def test_a_folder_that_is_corrected_while_no_daemon_runs_is_tried_again(site, correct):
    """The next start finds it."""
    site.drop("p1", {"scan/image.mha": b""})
    assert site.run_once().failed == 1
    correct(site)

    assert site.run_once().delivered == 1
    assert len(site.jobs()) == 1


def test_a_failed_folder_that_is_dropped_again_unchanged_is_tried_again(site):
    """As its note says, also if nobody saw that it was away: the cause may lie elsewhere."""
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    (site.inbox / "p1").rename(site.folder / "aside")
    (site.folder / "aside").rename(site.inbox / "p1")

    site.run_once()

    assert (site.case().ending, site.case().round) == ("failed", 2)


def test_a_folder_that_nobody_touches_is_not_tried_again(site):
    """However often it is looked at: one failure, one note."""
    site.drop("p1", {"image.mha": b""})
    with site.running(replace(FAST, upkeep=0.3)) as watch:
        ends(watch, "failed")
        for name in ("p2", "p3", "p4"):
            site.drop(name)
            until(lambda name=name: name in site.delivered())
    assert site.case().round == 1
    assert len(site.said("case.explained")) == 1


def test_a_folder_that_is_corrected_badly_fails_once_more_and_rests(site):
    """Each change is one new try."""
    folder = site.drop("p1", {"image.mha": b""})
    site.run_once()
    for number, content in enumerate((b"x", b"yy"), 2):
        (folder / "image.mha").write_bytes(content)
        site.run_once()
        site.run_once()
        assert (site.case().ending, site.case().round) == ("failed", number)
    assert not site.jobs()


def test_a_correction_settles_before_it_is_sent(site):
    """Its files may arrive one by one; while more come, it waits."""
    clock = Clock()
    site.configure(settle=f"{SETTLE_SECONDS}s")
    folder = site.drop("p1", {"image.mha": b""})
    with site.running(clock=clock) as watch:
        until(lambda: site.said("case.changed"))
        clock.ahead += SETTLE_SECONDS
        ends(watch, "failed")

        (folder / "image.mha").write_bytes(mha(1))
        until(lambda: site.said("case.corrected"))
        assert not site.jobs()
        clock.ahead += SETTLE_SECONDS

        ends(watch, "delivered")
    assert len(site.jobs()) == 1


def test_a_marker_from_before_the_correction_does_not_speak_for_it(site):
    """The folder still holds the marker of the first drop, so the correction has to settle."""
    clock = Clock()
    site.configure(settle=f"{SETTLE_SECONDS}s", ready="READY.txt")
    folder = site.drop("p1", {"image.mha": b"", "READY.txt": b""})
    with site.running(clock=clock) as watch:
        ends(watch, "failed")
        (folder / "image.mha").write_bytes(mha(1))
        until(lambda: site.said("case.corrected"))
        site.drop("p2", {"image.mha": mha(), "READY.txt": b""})
        ends(watch, "delivered", "p2")
        assert site.case().is_open

        (folder / "READY.txt").write_text("again")

        ends(watch, "delivered")
    assert len(site.jobs()) == 2


def test_a_failed_display_set_is_filled_with_the_corrected_image(site):
    """It is the same display set: its title can be used only once."""
    site.configure(algorithm=None, reader_study="lung-study", inputs={"ct-image": "*.mha"})
    site.drop("p1", {"image.mha": b""})
    site.run_once()
    (site.inbox / "p1" / "image.mha").write_bytes(mha(4, 2))

    site.run_once()

    assert site.case().ending == "delivered"
    assert happened_once(site, events.FolderCorrected)


def happened_once(site, kind):
    with site.watch() as watch:
        return happened(watch, kind) == 1
