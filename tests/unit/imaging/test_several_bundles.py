"""Several large bundles at the same time: a further one is made by another process."""

import shutil
import zipfile
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from gcwatch.core.errors import CannotSend, Stopped
from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.several import SeveralBundles
from gcwatch.imaging.deidentification.deidentify import DicomRules
from gcwatch.inbox import tree
from gcwatch.threads.heartbeats import Heartbeats

CT5 = Path(get_testdata_file("DICOMDIR")).parent / "98892001" / "CT5N"
OPTIONS = BundleOptions(socket="ct-image", rules=DicomRules(pseudonym="P-7", secret_key=b"k"))


@pytest.fixture
def files(tmp_path):
    """A CT of five slices."""
    return tree.source_files(SharePath.of(shutil.copytree(CT5, tmp_path / "p1")), ())


def make(several, files, spool):
    return several.image_bundle(files, OPTIONS, spool=spool, stem="k1")


def patients(made):
    with zipfile.ZipFile(made.file) as archive:
        each = [pydicom.dcmread(archive.open(name)) for name in archive.namelist()]
    return {str(dataset.PatientID) for dataset in each}


def test_a_large_bundle_beside_another_one_is_made_by_another_process(files, tmp_path):
    """It is finished when it is told, and what the route says of it holds there, too."""
    several = SeveralBundles(lambda: 2, large_files=5)
    first = make(several, files, tmp_path / "first")
    with several._counted():
        made = make(several, files, tmp_path / "spool")
    assert made.file.stat().st_size == made.size
    assert patients(made) == {"P-7"}
    assert made.file.read_bytes() == first.written().file.read_bytes()
    assert (made.files, made.forecast) == (first.files, first.forecast)


@pytest.mark.parametrize(("most", "large"), [(1, 5), (2, 6)])
def test_a_small_one_and_one_too_many_are_made_here(files, tmp_path, most, large):
    """They are written while they are sent."""
    several = SeveralBundles(lambda: most, large_files=large)
    with several._counted():
        made = make(several, files, tmp_path / "spool")
    assert not made.file.exists()
    assert patients(made.written()) == {"P-7"}


def test_what_another_process_can_not_do_is_done_or_told_here(files, tmp_path, monkeypatch):
    """If that crashes, nothing is lost; if the files are refused, it is known why."""
    several = SeveralBundles(lambda: 2, large_files=1)
    with several._counted():
        with monkeypatch.context() as broken:
            broken.setattr("sys.executable", "/bin/false")
            assert patients(make(several, files, tmp_path / "spool").written()) == {"P-7"}
        (tmp_path / "p2").mkdir()
        (tmp_path / "p2" / "notes.txt").write_text("no image")
        notes = tree.source_files(SharePath.of(tmp_path / "p2"), ())
        with pytest.raises(CannotSend, match="no_image"):
            make(several, notes, tmp_path / "other")


def test_a_stop_ends_it(files, tmp_path):
    """The daemon has ten seconds to end."""

    def stopped():
        raise Stopped

    several = SeveralBundles(lambda: 2, large_files=5)
    working = Heartbeats(require_running=stopped).of("worker")
    with several._counted(), working, pytest.raises(Stopped):
        make(several, files, tmp_path / "spool")
    assert not (tmp_path / "spool" / "k1.json").exists()
