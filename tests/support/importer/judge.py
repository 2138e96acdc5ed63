"""Runs panimg, the platform's own importer, on what is uploaded, and reads what it makes of it.

panimg needs a second to be imported: nothing outside the tests of the importer may import this.
"""

import gc
import logging
import shutil
import tempfile
import warnings
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import panimg
import SimpleITK
import tifffile

RELATIVE_TOLERANCE = 1e-5
"""panimg calculates with 32 bits where a slope applies."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Voxels in the order of time, z, y, x, colour, and mm along x, y, z if they are known."""

    voxels: np.ndarray
    spacing: tuple[float, ...] = ()

    def equals(self, other):
        """Whether two pictures have the same voxels, and the same spacing where both know it."""
        mine, yours = _squeeze(self.voxels), _squeeze(other.voxels)
        return (
            mine.shape == yours.shape
            and np.allclose(mine, yours, rtol=RELATIVE_TOLERANCE, atol=1e-6, equal_nan=True)
            and all(
                np.isclose(one, two, rtol=1e-4)
                for one, two in zip(self.spacing, other.spacing, strict=False)
            )
        )


def _squeeze(voxels):
    """A picture of one plane and the same plane as a volume are one."""
    while voxels.ndim > 2 and voxels.shape[0] == 1:
        voxels = voxels[0]
    return voxels


@dataclass(frozen=True, eq=False)
class Imported:
    """One image that panimg made: what it tells the platform, and the file that it stores."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    spacing: tuple[float | None, ...]
    color_space: str
    suffix: str
    picture: Picture


@dataclass(frozen=True)
class Verdict:
    """What panimg makes of a folder; `crashed` is the error that it does not catch."""

    images: tuple[Imported, ...] = ()
    left: int = 0
    crashed: str = ""


def describe(verdict):
    """Return, for a comparison: the images, how many files are left, whether it crashed."""
    images = sorted(
        (
            each.shape,
            each.color_space,
            each.suffix,
            tuple(step and float(f"{step:.4g}") for step in each.spacing),
            each.picture.voxels.dtype.name,
        )
        for each in verdict.images
    )
    return images, verdict.left, bool(verdict.crashed)


def judge_uploads(uploads):
    """Given the paths of uploads by name, return what the platform makes of them.

    A zip is unpacked, as the platform does before it calls the importer.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work, "in")
        folder.mkdir()
        for name, path in uploads.items():
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(folder / name)
            else:
                shutil.copyfile(path, folder / name)
        return judge_folder(folder)


def judge_folder(folder):
    """Given a folder, return what panimg makes of it."""
    with _quiet():
        try:
            return _judge(folder)
        finally:
            # panimg leaves each TIFF open, within a circle of objects. Closed by chance, in the
            # middle of another test, it would be a warning there.
            if any(path.is_file() and _is_tiff(path) for path in folder.rglob("*")):
                gc.collect()


def _is_tiff(path):
    with path.open("rb") as file:
        return file.read(4) in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def _judge(folder):
    with tempfile.TemporaryDirectory() as out:
        try:
            # Tiles for the viewer are no part of the image.
            made = panimg.convert(
                input_directory=folder, output_directory=Path(out), post_processors=[]
            )
        except Exception as error:  # noqa: BLE001 - the platform catches them all as well
            return Verdict(crashed=type(error).__name__)
        files = {file.image_id: file for file in made.new_image_files}
        images = tuple(_read_image(image, files[image.pk].file) for image in made.new_images)
        every = sum(path.is_file() for path in folder.rglob("*"))
        return Verdict(images, every - len(made.consumed_files))


@contextmanager
def _quiet():
    """The readers' complaints about damaged files are what is expected of them."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.GlobalWarningDisplayOff()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)
            logging.disable(level)


def _read_image(image, path):
    depth = () if image.depth in {None, 1} else (image.depth,)
    times = () if image.timepoints is None else (image.timepoints,)
    axes = (image.timepoints, image.depth, image.height, image.width)
    return Imported(
        tuple(axis for axis in axes if axis is not None),
        (image.width, image.height, *depth, *times),
        (image.voxel_width_mm, image.voxel_height_mm, image.voxel_depth_mm),
        str(getattr(image.color_space, "value", image.color_space)),
        path.suffix,
        read_stored(path),
    )


def read_stored(path):
    """Given a file that panimg stored, return its picture."""
    if path.suffix != ".mha":
        try:
            return Picture(tifffile.imread(path))
        except Exception:  # noqa: BLE001 - damaged TIFF files are stored as they are
            return Picture(np.empty(0))
    try:
        image = SimpleITK.ReadImage(str(path))
    except RuntimeError:  # panimg also stores an image with a voxel size of NaN
        return Picture(np.empty(0))
    return Picture(SimpleITK.GetArrayFromImage(image), image.GetSpacing()[:3])
