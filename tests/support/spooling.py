"""What one host spools of the folders of an inbox: `python -m support.spooling INBOX STATE`."""

import sys
from pathlib import Path

from gcwatch.files.beneath import SharePath
from gcwatch.imaging.bundles import bundle
from gcwatch.imaging.bundles.options import BundleOptions
from gcwatch.imaging.deidentification.deidentify import DicomRules
from gcwatch.inbox import tree

SET = "DICOM Image Set"


def spool_all(inbox, state, *, key=b"k" * 32, case="lobes-7f3k2q9d-1"):
    """Spool each folder, as images of one case; return what is in the spool then, by its path."""
    state.mkdir()
    rules = DicomRules(secret_key=key, case=case)
    options = BundleOptions(socket="image", rules=rules, unscrubbed=("mrxs",))
    for folder in inbox.iterdir():
        files = tree.source_files(SharePath.of(folder), ())
        make = bundle.dicom_set if folder.name == SET else bundle.image_bundle
        made = make(files, options, spool=state / "spool" / folder.name, stem="k1")
        if folder.name != SET:
            made.written()
    return spooled(state)


def spooled(state):
    """The content of each file of a spool, by its path."""
    spool = state / "spool"
    return {str(each.relative_to(spool)): each.read_bytes() for each in spool.glob("*/*")}


if __name__ == "__main__":
    spool_all(*map(Path, sys.argv[1:]))
