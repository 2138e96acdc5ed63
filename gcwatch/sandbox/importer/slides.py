"""Whole-slide images: formats based on TIFF, and formats of several files.

Pixels are not converted. A TIFF is stored unchanged. A slide of several files becomes a black TIFF
of the same size.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path

from gcwatch.sandbox.importer import tiff
from gcwatch.sandbox.importer.pictures import read_picture_size
from gcwatch.sandbox.metaimage import Unreadable, Volume
from gcwatch.sandbox.model import new_pk

_VMS_SECTION = "Virtual Microscope Specimen"
_VMU_SECTION = "Uncompressed Virtual Microscope Specimen"

Size = tuple[int, int]


def read_slides(files: list[Path], work: Path) -> Iterator[tuple[Volume, set[Path]]]:
    """Build one image per slide that is complete (platform 13.5).

    Args:
        files: Everything in one folder that no earlier builder took.
        work: Folder for the images.

    Yields:
        Each image, and the files it was made of; a .mrxs has some in the folder of its name.
    """
    for path in files:
        reader = _READERS.get(path.suffix.lower())
        try:
            made = reader(path, work / f"{new_pk()}.tif") if reader else None
        except (Unreadable, ConfigError, OSError, KeyError, ValueError):
            continue
        if made:
            yield made


def _read_tiff_slide(path: Path, image: Path) -> tuple[Volume, set[Path]]:
    """Read a slide that is a TIFF; the importer converts colours to YCbCr."""
    tags = tiff.read_tiff_tags(path)
    shutil.copyfile(path, image)
    size = (tags[256], tags[257])
    is_gray = tags.get(262) in {0, 1}
    try:
        spacing = tiff.read_pixel_spacing(path, tags)
    except Unreadable:
        spacing = (1.0, 1.0)
    return _make_volume(image, size, spacing, is_gray=is_gray), {path}


def _make_volume(
    image: Path, size: Size, spacing: tuple[float, float] = (1.0, 1.0), *, is_gray: bool = False
) -> Volume:
    channels = 1 if is_gray else 3
    return Volume(
        image.name, size, spacing, "MET_UCHAR", image, channels, verbatim=True, ycbcr=not is_gray
    )


def _read_mirax(path: Path, image: Path) -> tuple[Volume, set[Path]]:
    """Read a .mrxs; the folder of the same name holds Slidedat.ini, an index and data files."""
    folder = path.parent / path.stem
    names = {each.name.lower(): each for each in folder.iterdir()}
    slidedat = names["slidedat.ini"]
    parser = _parse_sections(slidedat)
    data = parser["DATAFILE"]
    wanted = [data[f"FILE_{number}"] for number in range(data.getint("FILE_COUNT", 0))]
    companions = _find_companions(folder, [parser["HIERARCHICAL"]["INDEXFILE"], *wanted])
    general = parser["GENERAL"]
    size = int(general["IMAGENUMBER_X"]), int(general["IMAGENUMBER_Y"])
    tiff.write_black_tiff(image, size)
    return _make_volume(image, size), {path, slidedat, *companions}


def _read_hamamatsu(path: Path, image: Path) -> tuple[Volume, set[Path]]:
    """Read a .vms or .vmu, which lists an image for each part of the slide, and a map file."""
    parser = _parse_sections(path)
    listed = parser[_VMS_SECTION if _VMS_SECTION in parser else _VMU_SECTION]
    parts = [listed[key] for key in listed if re.fullmatch(r"imagefile(\(.*\))?", key)]
    extras = [listed[key] for key in ("macroimage", "optimisationfile") if listed.get(key)]
    companions = _find_companions(path.parent, [*parts, listed["mapfile"]])
    columns, rows = listed.getint("NoJpegColumns", 1), listed.getint("NoJpegRows", 1)
    if len(parts) < columns * rows:
        raise Unreadable("parts of the slide are missing")
    size = read_picture_size(companions[0]) if _VMS_SECTION in parser else (1, 1)
    tiff.write_black_tiff(image, (size[0] * columns, size[1] * rows))
    extra_paths = {path.parent / name for name in extras if (path.parent / name).is_file()}
    return _make_volume(image, (size[0] * columns, size[1] * rows)), {
        path,
        *companions,
        *extra_paths,
    }


def _parse_sections(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.read_string(path.read_text("utf-8-sig"), source="slide")
    return parser


def _find_companions(folder: Path, names: list[str]) -> list[Path]:
    paths = [folder / Path(name).name for name in names]
    if not all(path.is_file() and path.stat().st_size for path in paths):
        raise Unreadable("a companion is missing")
    return paths


_READERS: dict[str, Callable[[Path, Path], tuple[Volume, set[Path]]]] = {
    ".mrxs": _read_mirax,
    ".vms": _read_hamamatsu,
    ".vmu": _read_hamamatsu,
    **dict.fromkeys((".svs", ".ndpi", ".scn", ".bif"), _read_tiff_slide),
}
