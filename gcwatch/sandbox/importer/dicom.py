"""DICOM files: grouped into images as the platform's importer does it (platform 13.4)."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.uid import VLWholeSlideMicroscopyImageStorage

from gcwatch.sandbox.importer.stacks import Stack, build_volume
from gcwatch.sandbox.metaimage import Unreadable, Volume

_REFUSED = (
    *(AttributeError, TypeError, ValueError, KeyError, OSError, NotImplementedError),
    Unreadable,
)
"""What pydicom raises at files that it can't read, and what the sandbox itself refuses."""


@dataclass
class _Group:
    """The files of one image: same study, stack or series, and SOP class."""

    study: str
    index: int
    files: list[tuple[Path, pydicom.Dataset]] = field(default_factory=list)


def read_images(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    """Build one image per group; a group with a file that can't be read is left.

    Args:
        files: Everything in one folder that no earlier builder took.
        work: Folder for the voxels.

    Yields:
        Each image, and the files it was made of.
    """
    groups = _group_files(files)
    stacks = [(group, stack) for group in groups if (stack := _find_stack(group))]
    for group, stack in stacks:
        name = f"{group.study}-{group.index}"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                volume = build_volume(stack, name, work / f"{name}.raw")
        except _REFUSED:
            continue
        yield volume, {path for path, _ in group.files}


def _group_files(files: list[Path]) -> list[_Group]:
    groups: dict[tuple[str, str, str], _Group] = {}
    for path in files:
        header = _read_header(path)
        if header is None:
            continue
        study = str(header.StudyInstanceUID)
        stack = header.StackID if "StackID" in header else header.SeriesInstanceUID
        key = (study, str(stack), str(header.SOPClassUID))
        if key not in groups:
            groups[key] = _Group(study, sum(known[0] == study for known in groups))
        groups[key].files.append((path, header))
    return list(groups.values())


def _read_header(path: Path) -> pydicom.Dataset | None:
    """Read a file's header; return None if it is not DICOM or does not tell its group."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(path, stop_before_pixels=True)
            _ = header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPClassUID
    except Exception:  # noqa: BLE001 - pydicom has no common base for what is wrong with a file
        return None
    return header


def _find_stack(group: _Group) -> Stack | None:
    """Return the frames and times of a group; None if the times have not as many files each.

    Raises:
        TypeError: A number of frames or a time is empty. This crashes the importer.
        ValueError: It is no number.
    """
    headers = [header for _, header in group.files]
    told = (header.get("TemporalPositionIndex") for header in headers)
    times = len({int(each) for each in told if each is not None})
    if "PerFrameFunctionalGroupsSequence" in headers[0]:
        frames = len(headers[0].PerFrameFunctionalGroupsSequence)
    else:
        frames = int(headers[0].get("NumberOfFrames", 1))
    if any(header.SOPClassUID == VLWholeSlideMicroscopyImageStorage for header in headers):
        return None
    if times > 1 and len(headers) % times:
        return None
    return Stack(group.files, frames, max(times, 1))
