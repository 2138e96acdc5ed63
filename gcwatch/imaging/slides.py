"""Slides that are several files: one of them, the index, names the others.

MIRAX: `x.mrxs` beside a folder `x`, whose `Slidedat.ini` is the index. Hamamatsu: `x.vms` or
`x.vmu` is the index itself. The platform reads the names where it finds these keys (panimg 0.15.2,
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
"""A line of an index that names a file: what stands before the name, and the name."""


def files_by_name(files: Iterable[SourceFile]) -> dict[str, SourceFile]:
    """Given files, return them by names that can be compared, as slides come from Windows."""
    return {file.name.casefold(): file for file in files}


def index_name(slide: str) -> str:
    """Given the name of a slide's first file, return that of its index, as `by_name` has it."""
    stem, dot, suffix = slide.rpartition(".")
    mirax = suffix.casefold() == "mrxs"
    return (f"{stem}/Slidedat.ini" if mirax else f"{stem}{dot}{suffix}").casefold()


def find_named_files(
    index: bytes, file: SourceFile, others: Mapping[str, SourceFile]
) -> dict[str, SourceFile | None]:
    """Given an index, its file and others by name, return which one each of its names stands for.

    None stands for a file that is not there.
    """
    folder = PurePosixPath(file.name).parent
    names = (os.fsdecode(match[2]) for match in _LINE.finditer(index))
    return {name: others.get(_sibling_path(folder, name)) for name in names}


def _sibling_path(folder: PurePosixPath, name: str) -> str:
    return os.path.normpath(folder / name.replace("\\", "/")).casefold()


def rename_files(index: bytes, rename: Callable[[str], str]) -> bytes:
    """Given an index and what gives files new names, return the index with the new ones."""
    return _LINE.sub(lambda match: match[1] + rename(os.fsdecode(match[2])).encode(), index)
