"""How an image of another format than DICOM goes out: clean already, scrubbed, or refused."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import BinaryIO, cast

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files.safe_open import open_unchanged
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles.members import Member
from gcwatch.imaging.codestreams.errors import CantScrub, HoldsTooMuch
from gcwatch.imaging.copies import Copy, Prepare
from gcwatch.imaging.formats import Image, damage_reason, suffix_of
from gcwatch.imaging.scrub.formats import scrub_file
from gcwatch.imaging.scrub.meta_image import MetaImage, read_clean
from gcwatch.imaging.scrub.streaming import Comparison, DifferentError, Write

_SEEKING_KINDS = frozenset({"TIFF", "slide"})
"""Kinds whose writer goes back in its target, so that it can't be compared on the way."""


def allow_unscrubbed(image: Image, unscrubbed: Sequence[str]) -> tuple[Image, bool]:
    """Given an image and the formats that a route sends as they are, return whether to scrub it.

    The image comes back with a warning if it is sent as it is. Raise CannotSend
    (`not_deidentified`) if it can't be scrubbed and the route does not name its format.
    """
    if image.suffix == ".mhd":
        return image, True
    file = image.files[0]
    with open_unchanged(file) as stream:
        try:
            scrub_file(image, stream)
        except CantScrub as error:
            if error.form not in unscrubbed:
                raise _refusal(file, error) from error
            warning = Reason("sent_unscrubbed", {"format": error.form}, {"file": file.name})
            return replace(image, warnings=(*image.warnings, warning)), False
    return image, True


def is_clean(image: Image) -> bool:
    """Whether scrubbing an image of one file changes none of its bytes."""
    if len(image.files) != 1 or image.kind in _SEEKING_KINDS:
        return False
    [file] = image.files
    with open_unchanged(file) as stream, open_unchanged(file) as same:
        target = Comparison(stream, same)
        try:
            scrub_file(image, stream)(cast("BinaryIO", target))
        except DifferentError:
            return False
        except CantScrub as error:
            raise _refusal(file, error) from error
        return not same.read(1)


def scrubbed_members(image: Image) -> list[Member]:
    """Given an image, return its files as they go out; writing them may raise CannotSend."""
    if image.suffix == ".mhd":
        return _meta_image_members(*image.files)
    [file] = image.files
    return [Member("image" + image.suffix, file, _refusing(file, lambda s: scrub_file(image, s)))]


def _meta_image_members(header: SourceFile, data: SourceFile) -> list[Member]:
    name = "image.zraw" if suffix_of(data.name) == ".zraw" else "image.raw"

    def read(text: BinaryIO, voxels: BinaryIO) -> MetaImage:
        return read_clean(text, voxels, name)

    def write_header(stream: BinaryIO) -> Write:
        with open_unchanged(data) as voxels:
            image = read(stream, voxels)
        return lambda target: _write(target, image.header)

    def write_voxels(stream: BinaryIO) -> Write:
        with open_unchanged(header) as text:
            image = read(text, stream)
        return lambda target: image.copy_voxels(stream, target)

    return [
        Member("image.mhd", header, _refusing(header, write_header)),
        Member(name, data, _refusing(data, write_voxels)),
    ]


def _write(target: BinaryIO, data: bytes) -> None:
    target.write(data)


def _refusing(file: SourceFile, prepare: Callable[[BinaryIO], Write]) -> Prepare:
    """Return the function with CannotSend where it, or what it returns, raises CantScrub."""

    def prepare_or_refuse(stream: BinaryIO) -> Copy:
        try:
            write = prepare(stream)
        except CantScrub as error:
            raise _refusal(file, error) from error

        def write_or_refuse(_source: BinaryIO, target: BinaryIO) -> None:
            try:
                write(target)
            except CantScrub as error:
                raise _refusal(file, error) from error

        return Copy(write_or_refuse)

    return prepare_or_refuse


def _refusal(file: SourceFile, error: CantScrub) -> CannotSend:
    if isinstance(error, HoldsTooMuch):
        return CannotSend(damage_reason(file, str(error)))
    return CannotSend(Reason("not_deidentified", {"problem": str(error)}, {"file": file.name}))
