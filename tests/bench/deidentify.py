"""De-identifying the headers of a CT, beside the library that does the same.

Both read the same files in turn, in one process, and give the same bytes; pixels are not copied.
"""

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from grand_challenge_dicom_de_identifier.deidentifier import DicomDeidentifier
from pydicom.dataset import FileMetaDataset

from gcwatch.imaging.deidentification.header_pass import HeaderPass
from tests.bench.figures import Figure, show
from tests.bench.material import SLICES, make_series

MOST_RATIO = 0.1


def bench(folder: Path, rounds: int) -> None:
    """Measure so many turns over all files, and tell the medians."""
    series = folder / "ct"
    make_series(series, SLICES)
    files = sorted(series.iterdir())
    library = DicomDeidentifier()
    header_pass = HeaderPass(library)
    ways = (lambda file: _by_pass(header_pass, file), lambda file: _by_library(library, file))
    for file in files:  # the library draws the new UIDs once: both give the same
        if ways[0](file) != ways[1](file):
            raise AssertionError(file)
    turns = [tuple(_cpu_seconds(way, files) for way in ways) for _ in range(rounds)]
    mine, theirs = (statistics.median(each) for each in zip(*turns, strict=True))
    ratio = statistics.median(one / other for one, other in turns)
    show(
        "de-identifying headers",
        [
            Figure("a header, gcwatch", mine / len(files) * 1000, "ms of CPU"),
            Figure("a header, the library", theirs / len(files) * 1000, "ms of CPU"),
            Figure("times the CPU of the library", ratio, "", MOST_RATIO),
        ],
    )


def _cpu_seconds(way: Callable[[Path], bytes], files: list[Path]) -> float:
    begun = time.process_time()
    for file in files:
        way(file)
    return time.process_time() - begun


def _by_pass(header_pass: HeaderPass, file: Path) -> bytes:
    with file.open("rb") as stream:
        return header_pass.deidentify(stream).content


def _by_library(library: DicomDeidentifier, file: Path) -> bytes:
    dataset = pydicom.dcmread(file, stop_before_pixels=True)
    syntax = dataset.file_meta.TransferSyntaxUID
    library.deidentify_dataset(dataset)
    dataset.preamble, dataset.file_meta = None, FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()
