"""A survey of an inbox of DICOM series, beside another gcwatch's.

    make bench ARGS="survey --base /path/to/another/.venv/bin/python"

An inbox holds 10,000 slices of 100 series; the header is that of a CT scanner, with 258 elements,
of a file that pydicom ships. The two take turns, each in a process of its own, so that both find
the same machine and the files in memory. Every header is read; nothing is packed or sent.
"""

import os
import statistics
import subprocess
import sys
from pathlib import Path

from tests.bench.figures import Figure, show

PATIENTS, SERIES, SLICES = 10, 10, 100

SURVEY = """
import sys, time
from pathlib import Path
import pydicom
from gcwatch.inbox.layouts import SeriesInbox
root = Path(sys.argv[1])
try:
    from gcwatch.files.beneath import SharePath
    root = SharePath(root)
except ImportError:  # an older gcwatch
    pass
begun, cpu = time.perf_counter(), time.process_time()
assert len(SeriesInbox(root).list_cases(1e9).cases) == 100
print(time.perf_counter() - begun, time.process_time() - cpu)
"""


def bench(folder: Path, rounds: int, base: Path | None = None) -> None:
    """Measure so many surveys, and tell the medians; the first of each is not counted."""
    _make_inbox(folder / "in")
    pythons = [Path(sys.executable), *([base] if base else [])]
    turns = [[_survey(python, folder) for python in pythons] for _ in range(rounds + 1)][1:]
    figures = []
    for name, some in zip(("", ", base"), zip(*turns, strict=True), strict=False):
        seconds, cpu = (statistics.median(each) for each in zip(*some, strict=True))
        figures.append(Figure(f"{PATIENTS * SERIES * SLICES} files surveyed{name}", seconds, "s"))
        figures.append(Figure("of it CPU", cpu, "s"))
    if base:
        ratio = statistics.median(other[1] / mine[1] for mine, other in turns)
        figures.append(Figure("times as fast as the base, by CPU", ratio))
    show("survey of an inbox of series", figures)


def _survey(python: Path, folder: Path) -> tuple[float, float]:
    """Survey an inbox in a process of its own; the seconds it took, and of them the CPU's."""
    own = {key: os.environ[key] for key in os.environ.keys() - {"PYTHONPATH"}}
    command = [python, "-c", SURVEY, folder / "in"]
    said = subprocess.run(
        command, cwd=folder, env=own, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, cpu = map(float, said.stdout.split())
    return seconds, cpu


def _make_inbox(inbox: Path) -> None:
    """Write the series."""
    for patient in range(PATIENTS):
        for series in range(SERIES):
            folder = inbox / f"patient-{patient}" / f"series-{series}"
            make_scanner_series(folder, patient, SLICES)


def make_scanner_series(folder: Path, patient: int, slices: int) -> None:
    """Write a series; what differs between real slices differs between these."""
    import pydicom  # noqa: PLC0415 - only where they are made
    from pydicom.data import get_testdata_file  # noqa: PLC0415 - as above
    from pydicom.uid import generate_uid  # noqa: PLC0415 - as above

    each = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    study = generate_uid(entropy_srcs=[str(patient), str(folder.parent)])
    each.PatientID, each.StudyInstanceUID = f"{patient:06}", study
    each.SeriesInstanceUID, each.SeriesNumber = generate_uid(), folder.name.rpartition("-")[2]
    folder.mkdir(parents=True)
    for number in range(1, slices + 1):
        uid = each.SOPInstanceUID = generate_uid()
        each.file_meta.MediaStorageSOPInstanceUID = uid
        each.InstanceNumber, each.SliceLocation = number, number - 75.699997
        each.ImagePositionPatient = [-158.135803, -179.035797, number - 75.699997]
        each.ContentTime = each.AcquisitionTime = f"10{number // 60:02}{number % 60:02}"
        each.save_as(folder / f"IM{number:04}")
