"""What PatientID becomes: the pseudonym of a table, or a keyed hash."""

import base64
import hmac
from typing import Final

PATIENT_ID: Final = 0x00100020
_HASH_BYTES: Final = 16


def new_patient_id(old: bytes, *, pseudonym: str, key: bytes, is_kept: bool) -> str:
    """Given the original PatientID, return the new one, "" to leave it to the procedure.

    A pseudonym of the hospital's table comes first. Without one, an ID that the procedure does not
    keep becomes its hash, by which nobody without the key finds the ID, as all IDs could be tried.
    """
    if pseudonym:
        return pseudonym
    value = old.strip(b" \0")
    if is_kept or not value or not key:
        return ""
    digest = hmac.digest(key, b"PatientID\0" + value, "sha256")[:_HASH_BYTES]
    return base64.b32encode(digest).decode().rstrip("=").lower()
