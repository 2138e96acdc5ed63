"""Draws the images of one case: results first, and the inputs at the same height."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO, Final

from PIL import UnidentifiedImageError

from gcwatch.files.beneath import SharePath
from gcwatch.imaging.content import recognise_content
from gcwatch.imaging.dicom.headers import could_be_dicom
from gcwatch.imaging.formats import SUFFIXES, suffix_of
from gcwatch.pictures import dicom, voxels
from gcwatch.pictures.drawing import draw_plane
from gcwatch.pictures.drawings import MAX_INPUTS, MAX_RESULTS, Drawing, Subject
from gcwatch.pictures.photos import draw_photo
from gcwatch.pictures.plane import CantDrawError, Plane

_MOST_TRIED: Final = 50
"""Files of a folder that are looked at to find its image."""

_VOLUMES: Final = {
    "MetaImage": voxels.read_meta_image,
    "NIfTI": voxels.read_nifti_image,
    "NRRD": voxels.read_nrrd_image,
}
_PHOTOS: Final = {"PNG", "JPEG", "TIFF", "slide"}
_MIDDLE: Final = 0.5


def draw_all(subjects: Sequence[Subject]) -> list[Drawing]:
    """Given the images of a case, return their pictures, at most a few of each side."""
    results = list(_draw_side(subjects, "result", None))[:MAX_RESULTS]
    seen = next((each for each in results if each.data), None)
    at = (seen.number - 0.5) / seen.count if seen and seen.count > 1 else _MIDDLE
    inputs = list(_draw_side(subjects, "input", at))[:MAX_INPUTS]
    return [*inputs, *results]


def _draw_side(subjects: Sequence[Subject], side: str, at: float | None) -> Iterator[Drawing]:
    most = MAX_RESULTS if side == "result" else MAX_INPUTS
    chosen = [each for each in enumerate(subjects) if each[1].side == side]
    for index, subject in chosen[: 3 * most]:
        drawing = _draw(index, subject, at)
        if drawing is not None:
            yield drawing


def _draw(index: int, subject: Subject, at: float | None) -> Drawing | None:
    """Return the picture of an image; None if none of the files is an image."""
    try:
        drawn = _draw_first(subject.files, at)
    except CantDrawError as error:
        return Drawing(subject=index, problem=str(error))
    except UnidentifiedImageError:
        return Drawing(subject=index, problem="it is compressed in a way that is not drawn here")
    except Exception:  # noqa: BLE001 - whatever a decoder raises at a damaged file; nothing depends on it
        return Drawing(subject=index, problem="it can't be read")
    if drawn is None:
        return None
    return drawn.model_copy(update={"subject": index})


def _draw_first(files: Sequence[SharePath], at: float | None) -> Drawing | None:
    """Return the picture of the first file that is an image."""
    for file in files[:_MOST_TRIED]:
        with file.open_file() as stream:
            start = stream.read(132)
            stream.seek(0)
            if could_be_dicom(start):
                return _draw_series(files, _MIDDLE if at is None else at)
            kind = SUFFIXES.get(recognise_content(stream, suffix_of(file.below)).suffix, "")
            stream.seek(0)
            if kind in _VOLUMES:
                return _draw_volume(file, stream, kind, at)
            if kind in _PHOTOS:
                data, is_empty = draw_photo(stream)
                return _drawing(data, is_empty=is_empty)
            if kind:
                raise CantDrawError("images of this format are not drawn here")
    return None


def _draw_volume(file: SharePath, stream: BinaryIO, kind: str, at: float | None) -> Drawing:
    found = _VOLUMES[kind](stream)
    if found.data_file:
        with file.with_name(found.data_file).open_file() as data:
            return _drawing_of(_read(data, found, at))
    return _drawing_of(_read(stream, found, at))


def _read(stream: BinaryIO, found: voxels.Voxels, at: float | None) -> Plane:
    if at is None:
        return voxels.read_fullest_plane(stream, found)
    return voxels.read_plane(stream, found, at)


def _draw_series(files: Sequence[SharePath], at: float) -> Drawing:
    (file, header), number, count = dicom.choose_slice(files, at)
    with file.open_file() as stream:
        drawn = dicom.read_frame(stream, header, at)
    if isinstance(drawn, Plane):
        if count > 1:  # a slice of a series, of which this file tells nothing
            drawn = replace(drawn, number=number, count=count, is_empty=False)
        return _drawing_of(drawn)
    data, is_empty = drawn
    return _drawing(data, number, count, is_empty=is_empty and count == 1)


def _drawing_of(plane: Plane) -> Drawing:
    return _drawing(draw_plane(plane), plane.number, plane.count, is_empty=plane.is_empty)


def _drawing(data: bytes, number: int = 1, count: int = 1, *, is_empty: bool = False) -> Drawing:
    return Drawing(
        subject=0,
        data=base64.b64encode(data).decode(),
        number=number,
        count=count,
        is_empty=is_empty,
    )
