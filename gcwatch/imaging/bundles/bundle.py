"""Makes what is uploaded for one socket: one file, or one deterministic zip in the spool."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from gcwatch.core.errors import CannotSend
from gcwatch.core.reasons import Reason
from gcwatch.files import atomic as disk
from gcwatch.files.patterns import matches_pattern
from gcwatch.files.snapshot import SourceFile
from gcwatch.imaging.bundles.members import Bundle, with_set_facts
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.bundles.outgoing import image_content, plain_suffix, set_content
from gcwatch.imaging.bundles.spool import find_finished, listing_digest, spool_each, spool_one
from gcwatch.imaging.deidentification.deidentify import NO_RULES


def select_files(files: Sequence[SourceFile], pattern: str) -> tuple[SourceFile, ...]:
    """Given a folder's files and a glob, return the files whose names match."""
    return tuple(file for file in files if matches_pattern(file.name, pattern))


def file_bundle(file: SourceFile, *, stem: str) -> Bundle:
    """Given a file for a File socket, return its bundle; it is sent directly from the inbox.

    Its name on the platform is `stem` and its own suffix, if that is 1 to 6 letters or digits.
    Raise CannotSend (`empty_file`) if the file has no bytes.
    """
    if file.size == 0:
        raise CannotSend(Reason("empty_file", names={"file": file.name}))
    return _bundle_from_inbox(file, stem + plain_suffix(file))


def _bundle_from_inbox(file: SourceFile, filename: str) -> Bundle:
    return Bundle(file, filename, file.size, 1, 0)


def image_bundle(
    files: Sequence[SourceFile], options: BundleOptions, *, spool: Path, stem: str
) -> Bundle:
    """Given the files for an image socket, return the upload: one file or one zip.

    A single file that holds nothing but its image is sent directly from the inbox. DICOM without a
    preamble, which the platform does not read, gets one, also if it is not de-identified. Anything
    else is written to the folder `spool` and used again from there after a restart. `stem` is its
    name on the platform.

    Raise CannotSend if the files are not exactly one image (`no_image`, `several_images`), if the
    image is incomplete (see `images.recognise_images`) or can't be de-identified
    (`not_deidentified`); SourceChanged if a file changed since it was listed; TryAgain (`disk`) if
    the spool can't be written.
    """
    unscrubbed = {"unscrubbed": ",".join(options.unscrubbed)} if options.unscrubbed else {}
    listing = _listing(files, options, keep_names=options.keep_names, **unscrubbed)
    with disk.disk_trouble("spooling"):
        if finished := find_finished(spool, stem, listing):
            return finished[0]
        content = image_content(files, options)
        if not content.is_direct:
            return spool_one(spool, stem, listing, content)
        return replace(
            _bundle_from_inbox(content.members[0].file, stem + content.suffix),
            left_out=content.left_out,
            warnings=content.warnings,
            forecast=content.forecast,
            content=content.content,
            not_taken=content.not_taken,
        )


def dicom_set(
    files: Sequence[SourceFile], options: BundleOptions, *, spool: Path, stem: str
) -> tuple[Bundle, ...]:
    """Given the files for a DICOM Image Set socket, return the uploads: one for each file.

    They are in the order of `files`, named by `stem` and a number. De-identified copies refer to
    each other's new UIDs; they are written to the spool, and used again after a restart if all of
    them are there. `left_out` and `warnings` of the whole set are in the first bundle.

    Raise as `image_bundle` does, and CannotSend if the image is no DICOM (`wrong_content`) or if
    its files are not of one patient, study and series (`mixed_dicom_set`; platform 3.9).
    """
    listing = _listing(files, options, each=True)
    with disk.disk_trouble("spooling"):
        if finished := find_finished(spool, stem, listing):
            return finished
        content = set_content(files, options, stem=stem)
        if not content.is_direct:
            return spool_each(spool, stem, listing, content)
        bundles = [_bundle_from_inbox(each.file, each.name) for each in content.members]
        return with_set_facts(bundles, content)


def _listing(files: Sequence[SourceFile], options: BundleOptions, **more: bool | str) -> str:
    """Return the digest of the files and of all options that decide what becomes of them."""
    rules = {} if options.rules == NO_RULES else {"rules": repr(options.rules)}
    return listing_digest(
        files, deidentify=options.deidentify, integrity=options.integrity, **rules, **more
    )
