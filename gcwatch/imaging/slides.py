"""Slides of several files, one of which, the index, lists the others.

MIRAX: `x.mrxs` beside a folder `x`, whose `Slidedat.ini` is the index. Hamamatsu: `x.vms` or
`x.vmu` is the index itself. The platform finds the file names by the same keys (panimg 0.15.2,
`image_builders/tiff.py`).
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePosixPath

from gcwatch.files.snapshot import SourceFile

_LINE = re.compile(
    rb"(?m)^((?:INDEXFILE|FILE_\d+|ImageFile(?:\([\d,]*\))?|MapFile|OptimisationFile|MacroImage)"
    rb"[ \t]*=[ \t]*)([^\r\n]*[^\s])"
)
"""A line of an index with a file name: the part before the name, and the name."""


def files_by_name(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """Given files, return them by name without case: slides are often made on Windows."""
    return {file.name.casefold(): file for file in files}


def index_name(slide: str) -> str:
    """Given the name of a slide's main file, return that of its index, as in `files_by_name`."""
    stem, dot, suffix = slide.rpartition(".")
    mirax = suffix.casefold() == "mrxs"
    return (f"{stem}/Slidedat.ini" if mirax else f"{stem}{dot}{suffix}").casefold()


def find_named_files(
    index: bytes, file: SourceFile, others: Mapping[str, SourceFile]
) -> dict[str, SourceFile | None]:
    """Given an index, its file and the other files by name, return the file for each listed name.

    None stands for a file that does not exist.
    """
    folder = PurePosixPath(file.name).parent
    names = (os.fsdecode(match[2]) for match in _LINE.finditer(index))
    return {name: others.get(_sibling_path(folder, name)) for name in names}


def _sibling_path(folder: PurePosixPath, name: str) -> str:
    return os.path.normpath(folder / name.replace("\\", "/")).casefold()


def rename_files(index: bytes, rename: Callable[[str], str]) -> bytes:
    """Given an index and a function from old to new names, return the index with new names."""
    return _LINE.sub(lambda match: match[1] + rename(os.fsdecode(match[2])).encode(), index)
