"""Reads receipts from folders that others may write to."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import from_json

from gcwatch.core.receipt import RECEIPT_NAME
from gcwatch.files.beneath import SharePath
from gcwatch.files.safe_open import read_small_file

LONGEST_RECEIPT_BYTES: Final = 16 * 1024 * 1024
"""A longer file is no receipt; one of a DICOM image set of 5000 files needs about 1 MiB."""


def read_receipt(folder: SharePath) -> Mapping[str, Any]:
    """Given a folder, return its receipt; an empty one if there is none, or if it is no object.

    Anybody may have written the file, so callers check every value before they use it. Raise
    OSError if it can't be read.
    """
    content = read_small_file(folder / RECEIPT_NAME, LONGEST_RECEIPT_BYTES)
    try:
        # This reader limits the depth, and refuses text that no journal and no terminal takes.
        found = from_json(content or b"null")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
