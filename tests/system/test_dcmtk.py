"""Debian's dcmtk receives studies into an inbox, and sends results to a PACS (docs/dicom.md)."""

import configparser
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pydicom
import pytest
from support.builders import Clock, Site, check_history, series, until
from support.checkout import ROOT
from support.ports import answers, free_port

PROGRAMS = ("storescp", "dcmsend", "pdf2dcm")
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (apt install dcmtk)"
)

EXAMPLES = ROOT / "config" / "examples"
SETTLE_SECONDS = 7200


@contextmanager
def receiving(folder, port):
    """A storescp as the example of a unit starts it, but for folder and port."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    text = (EXAMPLES / "gcwatch-storescp.service").read_text().replace("\\\n", " ")
    unit.read_string(text)
    command = shlex.split(unit["Service"]["ExecStart"])
    command[command.index("--output-directory") + 1] = str(folder)
    command[-1] = str(port)
    with subprocess.Popen(command) as process:
        try:
            until(lambda: answers(port))
            yield
        finally:
            process.terminate()


def send(port, files):
    command = ["dcmsend", "-aec", "GCWATCH", "127.0.0.1", str(port), *map(str, files)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def study(tmp_path):
    """The files of a study, as a scanner has them."""
    folder = tmp_path / "scanner"
    folder.mkdir()
    for name, content in series().items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def make_site(folder, sandbox, **keys):
    return Site(
        folder / "site",
        sandbox,
        algorithm="write-letter",
        settle=f"{SETTLE_SECONDS}s",
        inputs={"ct-image": "**/*.dcm"},
        **keys,
    )


def to_pacs(site, port):
    """The example of a command, as docs/dicom.md names it."""
    script = str(EXAMPLES / "to-pacs")
    return [sys.executable, script, "{folder}", str(site.inbox), "127.0.0.1", str(port), "PACS"]


@pytest.mark.prove
def test_a_study_that_comes_in_two_parts_is_one_case(tmp_path, sandbox, study):
    """The quiet time begins anew with each file; a study that comes again is told, and not sent."""
    site, clock, port = make_site(tmp_path, sandbox), Clock(), free_port()
    with receiving(site.inbox, port), site.running(clock=clock) as watch:
        send(port, study[:2])
        until(lambda: [case for case in watch.cases() if case.seen])
        clock.ahead = SETTLE_SECONDS / 2
        send(port, study[2:])
        clock.ahead = SETTLE_SECONDS + 60
        until(lambda: watch.cases()[0].seen.files == len(study))
        assert not site.jobs()
        clock.ahead = 2 * SETTLE_SECONDS + 120
        [name] = until(site.delivered)
        send(port, study)
        until(lambda: watch.cases()[0].late)

        def is_told():
            clock.ahead += SETTLE_SECONDS / 100
            return not watch.journal.unfinished_cases()

        until(is_told)
        check_history(watch)

    assert len(site.jobs()) == 1
    assert "files changed or replaced" in (site.outbox / f"{name}.changed.txt").read_text()

    uid = pydicom.dcmread(study[0]).StudyInstanceUID
    assert name == f"study_{uid}"
    [sent] = site.receipt(name)["inputs"]
    assert sent["files"] == len(study)


@pytest.mark.prove
def test_results_come_to_the_pacs_as_documents_of_the_study(tmp_path, sandbox, study):
    """A PACS that is away gets them later; a second run makes no second document."""
    site, port, pacs = make_site(tmp_path, sandbox), free_port(), tmp_path / "pacs"
    pacs.mkdir()
    site.configure(
        algorithm="write-letter",
        inputs={"ct-image": "**/*.dcm"},
        on_delivered=to_pacs(site, port),
        settle="0s",
    )
    site.drop("study_1", {f"{path.name}.dcm": path.read_bytes() for path in study})

    assert site.run_once().delivered == 1
    assert "exit code" in site.case("study_1").command.problem.facts["problem"]

    with receiving(pacs, port), site.running() as watch:
        until(lambda: watch.find("lobes/study_1").command is None)
        folder = str(site.outbox / "study_1")
        again = [folder if each == "{folder}" else each for each in to_pacs(site, port)]
        subprocess.run(again, check=True, capture_output=True)

    [received] = [path for path in pacs.rglob("*") if path.is_file()]
    document, slice_ = pydicom.dcmread(received), pydicom.dcmread(study[0])
    assert document.SOPClassUID.name == "Encapsulated PDF Storage"
    for key in ("PatientName", "PatientID", "StudyInstanceUID"):
        assert document[key] == slice_[key]
    assert bytes(document.EncapsulatedDocument).startswith(b"%PDF")


def test_a_pacs_that_refuses_is_told(tmp_path, sandbox, study):
    """The exit code of dcmsend is that of the command."""
    site, port = make_site(tmp_path, sandbox), free_port()
    script = str(EXAMPLES / "to-pacs")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "gcwatch.json").write_text('{"key": "lobes-x", "folder": "p1"}')
    shutil.copy(study[0], folder)
    command = [sys.executable, script, folder, site.inbox, "127.0.0.1", str(port), "PACS"]
    refusing = ["storescp", "--refuse", str(port)]
    with subprocess.Popen(refusing) as process:
        try:
            until(lambda: answers(port))
            assert subprocess.run(command, check=False, capture_output=True).returncode != 0
        finally:
            process.terminate()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="not installed: systemd")
def test_the_example_of_a_unit_is_valid(tmp_path):
    """The systemd of this machine knows each of its lines."""
    unit = tmp_path / "gcwatch-storescp.service"
    text = (EXAMPLES / unit.name).read_text()
    unit.write_text(text.replace("User=gcwatch", "User=root").replace("Group=gcwatch", ""))

    done = subprocess.run(
        ["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True
    )

    assert unit.name not in done.stdout + done.stderr
