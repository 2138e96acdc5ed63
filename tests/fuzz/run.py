"""Starts a parser's process, and clears away what it worked with."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

PARSER_NAMES = (
    *("dicom", "dicom-names", "meta", "nifti", "nifti-gz", "nrrd", "png", "jpeg", "tiff"),
    *("slidedat", "socket", "receipt", "answer"),
)
"""The keys of `parsers.PARSERS`, which takes seconds to import."""

ROOT = Path(__file__).parents[2]


class Done(NamedTuple):
    """How a process ended: with 0 if no file broke the parser; how many it tried; what it said."""

    returncode: int
    runs: int
    told: str


def fuzz(name: str, found: Path, *options: str) -> Done:
    """Run a parser with these options of libFuzzer; `found` gets the file that breaks it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.process", name, str(found), *options],
            cwd=folder,
            # The same seed draws the same files only if sets have the same order.
            env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    told = done.stdout.decode(errors="replace")
    runs = re.findall(r"^#(\d+)", told, re.MULTILINE)
    return Done(done.returncode, int(runs[-1]) if runs else 0, told)
