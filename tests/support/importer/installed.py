"""Image files that the installed packages ship, as cases: one file, or a folder of DICOM."""

import re
import site
from functools import cache
from pathlib import Path

_PACKAGES = Path(site.getsitepackages()[0])
_SUFFIX = re.compile(
    r"\.(nii|nii\.gz|nrrd|nhdr|mha|mhd|tiff?|svs|png|jpe?g|dcm|ima)", re.IGNORECASE
)
_CODE = frozenset({".c", ".h", ".pxd", ".py", ".pyc", ".pyi", ".pyx", ".so"})
"""Most of 40,000 files: each worker of the tests would open them."""
_MOST_BYTES = 8_000_000


def find_files():
    """Return the paths of all image files, relative to the folder of the packages."""
    return sorted(_relative(path) for path in _files() if _is_image(path))


def find_folders():
    """Return the paths of all folders that hold several DICOM files and no other folder."""
    folders = {path.parent for path in _files() if _is_dicom(path)}
    return sorted(
        _relative(folder)
        for folder in folders
        if sum(map(_is_dicom, folder.iterdir())) > 1
        and not any(path.is_dir() and path.name != "__pycache__" for path in folder.iterdir())
    )


def installed_path(name):
    return _PACKAGES / name


def _relative(path):
    return str(path.relative_to(_PACKAGES))


@cache
def _files():
    return [path for path in _PACKAGES.rglob("*") if path.suffix not in _CODE and path.is_file()]


def _is_image(path):
    named = any(_SUFFIX.fullmatch("".join(path.suffixes[-count:])) for count in (1, 2))
    return path.stat().st_size < _MOST_BYTES and (named or _is_dicom(path))


@cache
def _is_dicom(path):
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
