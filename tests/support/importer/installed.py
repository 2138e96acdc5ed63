"""Image files that the installed packages ship, as cases: one file, or a folder of DICOM."""

import re
import site
from pathlib import Path

_PACKAGES = Path(site.getsitepackages()[0])
_SUFFIX = re.compile(
    r"\.(nii|nii\.gz|nrrd|nhdr|mha|mhd|tiff?|svs|png|jpe?g|dcm|ima)", re.IGNORECASE
)
_MOST_BYTES = 8_000_000


def find_files():
    """Return the paths of all image files, relative to the folder of the packages."""
    found = (path for path in _PACKAGES.rglob("*") if path.is_file() and _is_image(path))
    return sorted(str(path.relative_to(_PACKAGES)) for path in found)


def find_folders():
    """Return the paths of all folders that hold several DICOM files and no other folder."""
    folders = {path.parent for path in _PACKAGES.rglob("*") if path.is_file() and _is_dicom(path)}
    return sorted(
        str(folder.relative_to(_PACKAGES))
        for folder in folders
        if sum(map(_is_dicom, folder.iterdir())) > 1
        and not any(path.is_dir() and path.name != "__pycache__" for path in folder.iterdir())
    )


def installed_path(name):
    return _PACKAGES / name


def _is_image(path):
    named = any(_SUFFIX.fullmatch("".join(path.suffixes[-count:])) for count in (1, 2))
    return path.stat().st_size < _MOST_BYTES and (named or _is_dicom(path))


def _is_dicom(path):
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
