"""DICOM files: grouped into images as the platform's importer does it."""

import math
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.uid import UID

from gcwatch.sandbox.metaimage import Unreadable, Volume


@dataclass
class _Group:
    """The slices of one image: same study, stack or series, and SOP class (platform 13.4)."""

    study: str
    index: int
    slices: list[tuple[Path, pydicom.Dataset]] = field(default_factory=list)


def read_images(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    """Build one image per group; files that are not readable DICOM are skipped.

    Args:
        files: Everything in one folder that no earlier builder took.
        work: Folder for the voxels.

    Yields:
        Each image, and the files it was made of.
    """
    for group in _group_slices(files):
        try:
            volume = _build_volume(group, work / f"{group.study}-{group.index}.raw")
        except (AttributeError, TypeError, ValueError, Unreadable):
            continue
        yield volume, {path for path, _ in group.slices}


def _group_slices(files: list[Path]) -> list[_Group]:
    groups: dict[tuple[str, str, str], _Group] = {}
    for path in files:
        dataset = _read_slice(path)
        if dataset is None:
            continue
        study = str(dataset.StudyInstanceUID)
        stack = str(dataset.get("StackID") or dataset.SeriesInstanceUID)
        key = (study, stack, str(dataset.SOPClassUID))
        if key not in groups:
            groups[key] = _Group(study, sum(known[0] == study for known in groups))
        groups[key].slices.append((path, dataset))
    return list(groups.values())


def _read_slice(path: Path) -> pydicom.Dataset | None:
    """Read a file; return None if it is not DICOM or lacks what a slice needs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            needed = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPClassUID)
            complete = all(needed) and _has_all_pixels(dataset)
    except Exception:  # noqa: BLE001 - pydicom has no common base for what is wrong with a file
        return None
    return dataset if complete else None


def _has_all_pixels(dataset: pydicom.Dataset) -> bool:
    if "PixelData" not in dataset:
        return False
    if _is_encapsulated(dataset):
        return len(dataset.PixelData) > 0
    return len(dataset.PixelData) >= _slice_size_bytes(dataset) * _frame_count(dataset)


def _is_encapsulated(dataset: pydicom.Dataset) -> bool:
    return bool(UID(dataset.file_meta.TransferSyntaxUID).is_compressed)


def _slice_size_bytes(dataset: pydicom.Dataset) -> int:
    voxels = int(dataset.Rows) * int(dataset.Columns) * int(dataset.get("SamplesPerPixel", 1))
    return voxels * int(dataset.BitsAllocated) // 8


def _frame_count(dataset: pydicom.Dataset) -> int:
    return int(dataset.get("NumberOfFrames") or 1)


def _build_volume(group: _Group, raw: Path) -> Volume:
    group.slices.sort(key=lambda each: int(each[1].InstanceNumber))
    slices = [dataset for _, dataset in group.slices]
    first = slices[0]
    if len({(each.Rows, each.Columns, each.BitsAllocated) for each in slices}) > 1:
        message = "slices of different shapes"
        raise Unreadable(message)
    step = _mean_step(slices)
    times = _count_times(slices)
    length = len(slices) // times
    ordered = slices if _is_upward(step, first) else _turn_each_round(slices, length)
    scale = _needs_rescale(slices)
    with raw.open("wb") as out:
        for each in ordered:
            out.write(_read_voxels(each, scale))
    return Volume(
        name=f"{group.study}-{group.index}",
        size=(
            int(first.Columns),
            int(first.Rows),
            sum(map(_frame_count, slices)) // times,
            *((times,) if times > 1 else ()),
        ),
        spacing=(
            *_read_pixel_spacing(first),
            math.hypot(*step) or float(first.get("SpacingBetweenSlices", 1.0)),
            *((1.0,) if times > 1 else ()),
        ),
        element="MET_FLOAT" if scale else _stored_element(first),
        raw=raw,
        channels=int(first.get("SamplesPerPixel", 1)),
        offset=_read_position(ordered[0]) or (0.0, 0.0, 0.0),
    )


def _read_position(dataset: pydicom.Dataset) -> tuple[float, ...] | None:
    value: Any = dataset.get("ImagePositionPatient")
    return tuple(float(number) for number in value) if value else None


def _mean_step(slices: list[pydicom.Dataset]) -> tuple[float, ...]:
    """Return the mean way from one place to the next, in mm; zeros if there is only one place."""
    places = list(dict.fromkeys(place for each in slices if (place := _read_position(each))))
    if len(places) < 2:
        return (0.0, 0.0, 0.0)
    pairs = zip(places[-1], places[0], strict=True)
    return tuple((last - first) / (len(places) - 1) for last, first in pairs)


def _is_upward(step: tuple[float, ...], first: pydicom.Dataset) -> bool:
    """Return whether a step goes with the sum of the directions of rows, columns and normal."""
    a, b, c, d, e, f = first.get("ImageOrientationPatient") or (1, 0, 0, 0, 1, 0)
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    axes = zip((a, b, c), (d, e, f), normal, strict=True)
    return float(sum(way * sum(axis) for way, axis in zip(step, axes, strict=True))) >= 0


def _count_times(slices: list[pydicom.Dataset]) -> int:
    """Return how many volumes there are; the files must be as many for each (platform 13.4)."""
    told = {each.get("TemporalPositionIndex") for each in slices} - {None}
    times = max(len(told), 1)
    if len(slices) % times:
        message = "other numbers of slices at each time"
        raise Unreadable(message)
    if times > 1 and not all("ContentTime" in each and "Exposure" in each for each in slices):
        message = "a series over time without ContentTime or Exposure"
        raise Unreadable(message)
    return times


def _turn_each_round(slices: list[pydicom.Dataset], length: int) -> list[pydicom.Dataset]:
    """Return the slices with each volume of so many in the opposite order."""
    volumes = (slices[at : at + length] for at in range(0, len(slices), length))
    return [each for volume in volumes for each in volume[::-1]]


def _read_pixel_spacing(dataset: pydicom.Dataset) -> tuple[float, float]:
    value: Any = dataset.get("PixelSpacing")
    return (float(value[0]), float(value[1])) if value else (1.0, 1.0)


def _needs_rescale(slices: list[pydicom.Dataset]) -> bool:
    """Return whether any slice has a rescale slope or intercept; then all become floats."""
    slopes = {float(each.get("RescaleSlope") or 1) for each in slices}
    return slopes | {float(each.get("RescaleIntercept") or 0) + 1 for each in slices} != {1.0}


def _stored_typecode(dataset: pydicom.Dataset) -> str:
    code = {8: "b", 16: "h", 32: "i"}.get(int(dataset.BitsAllocated))
    if code is None:
        message = "unsupported bits allocated"
        raise Unreadable(message)
    return code if int(dataset.get("PixelRepresentation", 0)) else code.upper()


def _stored_element(dataset: pydicom.Dataset) -> str:
    names = {"b": "CHAR", "B": "UCHAR", "h": "SHORT", "H": "USHORT", "i": "INT", "I": "UINT"}
    return f"MET_{names[_stored_typecode(dataset)]}"


def _read_voxels(dataset: pydicom.Dataset, scale: bool) -> bytes:
    """Return a slice's voxels. Compressed pixels are not decoded: they become zeros."""
    length = _slice_size_bytes(dataset) * _frame_count(dataset)
    data = bytes(length) if _is_encapsulated(dataset) else dataset.PixelData[:length]
    if not scale:
        return bytes(data)
    slope = float(dataset.get("RescaleSlope") or 1)
    intercept = float(dataset.get("RescaleIntercept") or 0)
    stored = array(_stored_typecode(dataset), data)
    return array("f", (slope * number + intercept for number in stored)).tobytes()
