"""The sandbox's importer as a second judge of a folder, beside panimg."""

import tempfile
from pathlib import Path

from gcwatch.sandbox.content.catalogue import Catalogue
from gcwatch.sandbox.importer.importer import add_image, build_volumes
from gcwatch.sandbox.model import PlatformState, User
from gcwatch.sandbox.settings import Settings
from support.importer.judge import Imported, Verdict, read_stored


def judge_in_sandbox(folder):
    """Given a folder, return what the sandbox's importer makes of it."""
    with tempfile.TemporaryDirectory() as work:
        state = PlatformState(Path(work), Settings(), Catalogue((), ()))
        raw = Path(work, "raw")
        raw.mkdir()
        used = set()
        images = []
        try:
            for volume, consumed in build_volumes(folder, raw):
                images.append(_read_image(add_image(state, User(1, "someone", ""), volume)))
                used |= consumed
        except Exception as error:  # noqa: BLE001 - the sandbox catches them all as well
            return Verdict(crashed=type(error).__name__)
        every = {path for path in folder.rglob("*") if path.is_file()}
        return Verdict(tuple(images), len(every - used))


def _read_image(image):
    path = image.file.path
    return Imported(
        image.size[::-1],
        image.size,
        (*image.spacing, None, None, None)[:3],
        image.color_space,
        path.suffix,
        read_stored(path),
    )
